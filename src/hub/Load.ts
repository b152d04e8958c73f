/**
 * Keeps what a hub holds for its peers within `limits.memory`, whatever they do; counts what passes; and applies `limits:`
 * to what is up when they change. One ticker for all, which looks sooner when much has come in.
 *
 * Who has to go when there is too much: of those whose peer makes the hub hold most, identities and addresses, the sessions
 * and connections that hold most. Nobody who holds less than an even share loses anything.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { LOAD_ARRIVED, LOAD_FULL, LOAD_LEFT, LOAD_LOOK } from "../protocol/Limits.ts"
import { capsOf } from "../store/HubLimits.ts"
import type { HubLimits } from "../store/HubLimits.ts"
import * as HubMetrics from "../telemetry/HubMetrics.ts"
import type { Carrier } from "../transport/Carrier.ts"
import type { Held } from "../transport/Holders.ts"
import { Authority } from "./Authority.ts"
import { Directory } from "./Directory.ts"
import { Sessions } from "./Sessions.ts"
import type { Session } from "./Sessions.ts"

/** A connection in the account of whoever makes the hub hold something, and what ends it. */
interface Part {
  readonly held: number
  readonly end: () => void
}

/** The most that each may hold so that all together hold `room`, when those who hold less keep what they have. */
export const evenShare = (held: ReadonlyArray<number>, room: number): number => {
  let left = room
  let others = held.length
  for (const each of held.toSorted((a, b) => a - b)) {
    const share = left / others
    if (each > share) return share
    left -= each
    others--
  }
  return Infinity
}

/** Watches over a hub's connections until the scope ends. */
export const watch = (connections: Held): Effect.Effect<void, never, Authority | Directory | Sessions | Scope.Scope> =>
  Effect.gen(function* () {
    const authority = yield* Authority
    const directory = yield* Directory
    const sessions = yield* Sessions
    const log = yield* FiberSet.makeRuntime<never>()

    /** The session of each socket that is in one, and to whose account goes what waits in it. */
    const accounts = () => {
      const of = new Map<Carrier, { readonly session: Session; readonly account: string }>()
      for (const session of sessions.all()) {
        const { agent, client, machine, principal } = session
        of.set(client.carrier, { session, account: principal.tokenHash })
        if (agent === undefined) continue
        of.set(agent, { session, account: directory.find(machine)?.agent?.principal.tokenHash ?? machine })
      }
      return of
    }

    const shed = (memory: number) => {
      const of = accounts()
      const byAccount = new Map<string, Array<Part>>()
      for (const { address, carrier, end, held } of connections.holders()) {
        const known = carrier && of.get(carrier)
        const account = known?.account ?? address
        const one = {
          held,
          end: () => {
            if (known !== undefined) sessions.end(known.session, "held too much")
            end()
          }
        }
        const others = byAccount.get(account)
        if (others === undefined) byAccount.set(account, [one])
        else others.push(one)
      }
      const sums = Array.from(byAccount.values(), (of) => of.reduce((sum, { held }) => sum + held, 0))
      const share = evenShare(sums, memory * LOAD_LEFT)
      let ended = 0
      for (const [index, of] of [...byAccount.values()].entries()) {
        let sum = sums[index] ?? 0
        for (const { end, held } of of.toSorted((a, b) => b.held - a.held)) {
          if (sum <= share) break
          sum -= held
          ended++
          end()
          HubMetrics.countRefused("memory")
        }
      }
      log(Effect.logWarning("peers do not read; connections that held most were ended", { ended, limit: memory }))
    }

    /** Ends what holds too much; returns what is held. */
    const bound = (): number => {
      const { memory } = authority.limits()
      const held = connections.held()
      if (held <= memory * LOAD_FULL) return held
      shed(memory)
      return connections.held()
    }

    let applied: HubLimits | undefined
    // A role or a name may be another, for which the file sets another cap.
    authority.onChange(() => (applied = undefined))
    const apply = () => {
      const limits = authority.limits()
      if (limits === applied) return
      applied = limits
      sessions.setBandwidth((principal) => capsOf(limits, principal).bandwidth)
    }

    const look = Effect.sync(() => {
      apply()
      sessions.detached.expire()
      const { paced, relayed } = sessions.look()
      HubMetrics.held.unsafeUpdate(bound(), [])
      HubMetrics.sessions.unsafeUpdate(sessions.size(), [])
      HubMetrics.detached.unsafeUpdate(sessions.detached.size(), [])
      HubMetrics.relayed.unsafeUpdate(relayed, [])
      HubMetrics.paced.unsafeUpdate(paced, [])
    }).pipe(Effect.catchAllDefect((defect) => Effect.logError("looking at the hub's load failed", defect)))

    connections.onArrived(() => authority.limits().memory * LOAD_ARRIVED, bound)
    yield* look.pipe(Effect.repeat(Schedule.spaced(LOAD_LOOK)), Effect.interruptible, Effect.forkScoped)
  })
