/**
 * Connects that wait for a machine whose agent is expected back, as all are when a hub has just started. Whoever waits is
 * woken when the agent registers, and when rights change, and then asks again from the beginning.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import { AWAITING_CONNECTS, AWAITING_CONNECTS_PER_IDENTITY } from "../protocol/Limits.ts"
import * as Slices from "../transport/Slices.ts"
import { Authority } from "./Authority.ts"
import * as KeyIndex from "./internal/keyIndex.ts"

/** Who waits for what; `until` is milliseconds since the epoch. */
export interface Awaited {
  readonly machine: string
  /** Of the token with which it is asked for. */
  readonly tokenHash: string
  readonly until: number
}

/** Of whom AWAITING_CONNECTS_PER_IDENTITY, or AWAITING_CONNECTS, wait. */
export type Crowd = "identity" | "hub"

export class Arrivals extends Context.Tag("tela/hub/Arrivals")<
  Arrivals,
  {
    /** Waits until it is worth asking again; or says at once of whom too many wait already. */
    readonly wait: (awaited: Awaited) => Effect.Effect<"woken" | Crowd>
    /** An agent has registered: whoever waits for the machine asks again. */
    readonly arrived: (machine: string) => void
    /** Everybody asks again. */
    readonly wakeAll: () => void
    /** How many wait. */
    readonly size: () => number
  }
>() {}

interface Waiter extends Awaited {
  readonly woken: Deferred.Deferred<void>
}

export const make: Effect.Effect<typeof Arrivals.Service, never, Authority> = Effect.gen(function* () {
  const authority = yield* Authority
  const clock = yield* Effect.clock
  const waiters = new Set<Waiter>()
  const byMachine = KeyIndex.make<Waiter>()
  const byToken = KeyIndex.make<Waiter>()
  const later = Slices.make()

  const wake = (woken: Iterable<Waiter>) => {
    for (const waiter of woken) later(() => Deferred.unsafeDone(waiter.woken, Effect.void))
  }

  authority.onChange((_snapshot, tokens) => {
    if (tokens === "all") wake(waiters)
    else for (const tokenHash of tokens) wake(byToken.of(tokenHash))
  })

  return {
    wait: ({ machine, tokenHash, until }) =>
      Effect.suspend(() => {
        if (byToken.count(tokenHash) >= AWAITING_CONNECTS_PER_IDENTITY) return Effect.succeed("identity" as const)
        if (waiters.size >= AWAITING_CONNECTS) return Effect.succeed("hub" as const)
        const waiter: Waiter = { machine, tokenHash, until, woken: Deferred.unsafeMake(FiberId.none) }
        waiters.add(waiter)
        byMachine.add(machine, waiter)
        byToken.add(tokenHash, waiter)
        return Deferred.await(waiter.woken).pipe(
          Effect.timeoutOption(Math.max(0, until - clock.unsafeCurrentTimeMillis())),
          Effect.ensuring(
            Effect.sync(() => {
              waiters.delete(waiter)
              byMachine.remove(machine, waiter)
              byToken.remove(tokenHash, waiter)
            })
          ),
          Effect.as("woken" as const)
        )
      }),
    arrived: (machine) => wake(byMachine.of(machine)),
    wakeAll: () => wake(waiters),
    size: () => waiters.size
  }
})

export const layer: Layer.Layer<Arrivals, never, Authority> = Layer.effect(Arrivals, make)
