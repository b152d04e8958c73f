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
import type { Held } from "../transport/Holders.ts"
import { Authority } from "./Authority.ts"
import { Directory } from "./Directory.ts"
import * as Accounts from "./internal/accounts.ts"
import { Sessions } from "./Sessions.ts"

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

    const agentOf = (machine: string) => directory.find(machine)?.agent?.principal.tokenHash ?? machine

    /** Of the accounts above an even share of what there may be, the largest first, ends what holds most until it is so little. */
    const shed = (memory: number) => {
      const room = memory * LOAD_LEFT
      const all = Accounts.of(connections.holders(), sessions.all(), agentOf)
      const share = evenShare(
        all.map(({ held }) => held),
        room
      )
      const gone = new Set<Accounts.Bearer>()
      let total = all.reduce((sum, { held }) => sum + held, 0)
      for (const account of all.toSorted((a, b) => b.held - a.held)) {
        for (const [bearer, { held, holders }] of [...account.parts].toSorted(([, a], [, b]) => b.held - a.held)) {
          if (total <= room) break
          if (account.held <= share) break
          account.held -= held
          total -= held
          if (gone.has(bearer)) continue
          gone.add(bearer)
          if ("client" in bearer) sessions.end(bearer, "held too much")
          for (const holder of holders) holder.end()
          HubMetrics.countRefused("memory")
        }
      }
      const said = { ended: gone.size, limit: memory }
      log(Effect.logWarning("peers do not read, or do not finish; what held most was ended", said))
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
