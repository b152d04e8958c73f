/**
 * One connection of a machine to its hub: register, then do what the hub asks until it ends (spec: wire 2).
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import type { KeyPair } from "../crypto/KeyPair.ts"
import { CloseCode } from "../protocol/Close.ts"
import * as Control from "../protocol/Control.ts"
import { REGISTER_TIMEOUT } from "../protocol/Limits.ts"
import { printable } from "../protocol/Printable.ts"
import type { MachineConfig } from "../store/AgentFile.ts"
import type { AgentState } from "../store/AgentState.ts"
import type { CarrierClosed, Dial } from "../transport/Carrier.ts"
import * as Inbox from "../transport/Inbox.ts"
import type { Links } from "./Links.ts"
import * as Offer from "./Offer.ts"
import type { Sessions } from "./Sessions.ts"

export interface Options {
  readonly hub: string
  readonly machine: MachineConfig
  readonly identity: KeyPair
  readonly state: AgentState
  readonly dial: Dial
  readonly links: Links
  readonly sessions: Sessions
  /** Open while the machine is registered. */
  readonly registered: Effect.Latch
}

/** How a connection ended, or that it is about to. Durations are milliseconds. */
export type Ending =
  | { readonly _tag: "Refused"; readonly reason: string }
  | {
      readonly _tag: "Lost"
      readonly reason: string
      readonly stood: number
      /** When the hub wants to be asked again; as soon as backoff allows, if it says nothing. */
      readonly retryIn: number | undefined
    }
  /** The hub is about to stop: the socket still stands, and is listened to until the scope ends. */
  | { readonly _tag: "Draining"; readonly retryIn: number }

const refused = (reason: string): Ending => ({ _tag: "Refused", reason: printable(reason) })
const lost = (reason: string, stood = 0, retryIn?: number): Ending => ({
  _tag: "Lost",
  reason: printable(reason),
  stood,
  retryIn
})

/** Waits for `registered`; the other side of the result is how it ended instead. */
const awaitRegistered = (inbox: Inbox.Inbox): Effect.Effect<Either.Either<void, Ending>> =>
  Effect.gen(function* () {
    while (true) {
      const message = yield* inbox.take
      const decoded = message._tag === "Text" ? Control.decode(message.text) : undefined
      if (decoded === undefined || Either.isLeft(decoded)) continue
      const said = decoded.right
      if (said.type === "registered") return Either.void
      if (said.type !== "error") continue
      return Either.left(said.retryIn === undefined ? refused(said.message) : lost(said.message, 0, said.retryIn))
    }
  }).pipe(
    Effect.catchAll((how) =>
      Effect.succeed(Either.left(how.code === CloseCode.policy ? refused(how.reason) : lost(how.message)))
    ),
    Effect.timeoutTo({
      duration: REGISTER_TIMEOUT,
      onSuccess: (result): Either.Either<void, Ending> => result,
      onTimeout: () => Either.left(lost(`no answer to register within ${REGISTER_TIMEOUT / 1000} s`))
    })
  )

/** Takes what the hub says until the socket closes; `draining` is called when it says that it is about to stop. */
const listen = (
  inbox: Inbox.Inbox,
  sessions: Sessions,
  draining: (retryIn: number) => Effect.Effect<unknown>
): Effect.Effect<never, CarrierClosed> =>
  Effect.gen(function* () {
    const message = yield* inbox.take
    const decoded = message._tag === "Text" ? Control.decode(message.text) : undefined
    if (decoded === undefined) return
    if (Either.isLeft(decoded)) {
      // Requests of later versions are none of our business, but a broken one that we know is worth a line.
      if (decoded.left._tag === "Malformed") {
        yield* Effect.logWarning(`the hub sent a malformed ${printable(decoded.left.type)}`)
      }
      return
    }
    const said = decoded.right
    switch (said.type) {
      case "session-request":
      case "session-update":
      case "session-revoked":
        return yield* sessions.take(said)
      case "drain":
        return yield* draining(said.retryIn)
      case "error":
        return yield* Effect.logWarning(`the hub says: ${printable(said.message)}`)
    }
  }).pipe(Effect.forever)

/** Connects, and waits for the end. The socket closes with the scope. */
export const run = (options: Options): Effect.Effect<Ending, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { dial, hub, identity, links, machine, registered, sessions, state } = options
    const dialled = yield* Effect.either(dial(hub))
    if (Either.isLeft(dialled)) return lost(dialled.left.message)
    const carrier = dialled.right
    const inbox = Inbox.make(carrier)
    carrier.sendText(Control.encode(Offer.register(machine, identity, state, links.detached(machine.name))))
    const answer = yield* awaitRegistered(inbox)
    if (Either.isLeft(answer)) return answer.left

    const since = yield* Clock.currentTimeMillis
    const services = machine.services.map((service) => service.port).join(",")
    yield* Effect.logInfo(`registered at ${hub}`, { target: machine.target, ports: services })
    yield* registered.open
    const ending = yield* Deferred.make<Ending>()
    yield* listen(inbox, sessions, (retryIn) => Deferred.succeed(ending, { _tag: "Draining", retryIn })).pipe(
      Effect.catchAll((how) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          // The right to be here has ended: dialled again at once, the hub would only say so again.
          Deferred.succeed(ending, how.code === CloseCode.policy ? refused(how.reason) : lost(how.message, now - since))
        )
      ),
      Effect.onError((cause) => Deferred.failCause(ending, cause)),
      Effect.forkScoped
    )
    return yield* Deferred.await(ending)
  })
