/**
 * The links of an agent's clients. Each is a fiber of its own that serves its tunnel and outlives sessions: when the carrier
 * is lost without explanation, the link waits for its client to come back in another session, at most the grace, and within
 * the memory that there is for all and for each identity.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { DetachedLink } from "../protocol/Control.ts"
import { DRAIN_LOOK, LISTED_ITEMS } from "../protocol/Limits.ts"
import { printable } from "../protocol/Printable.ts"
import { KeepBudget, type Linger } from "../tunnel/KeepBudget.ts"
import type * as Stream1 from "../tunnel/Stream1.ts"
import { heldNothing, type TunnelHeld } from "../tunnel/Tunnel.ts"
import type { Grant } from "./Grant.ts"
import * as Served from "./Served.ts"

export interface LinksOptions {
  /** How long a link waits for its client, in milliseconds; 0: it ends with its carrier. */
  readonly grace: number
  readonly budget?: KeepBudget | undefined
}

/** What begins a link, besides its tunnel. */
export interface Begin extends Pick<Served.ServedOptions, "machine" | "reach"> {
  readonly begun: Stream1.Begun
  readonly client: string
  readonly sessionId: string
  readonly grant: Grant
}

export interface Links {
  /** Whether its links wait for their clients at all. */
  readonly canWait: boolean
  /** Whether one of a client can wait, as far as is known before it has said who it is: one that it has, or a new one. */
  readonly keeps: (machine: string, principal: string | undefined) => boolean
  /** A scope for a tunnel that is about to begin; close it if none does. */
  readonly scope: Effect.Effect<Scope.CloseableScope>
  /** What the tunnel asks when a client comes to a machine; without `mayKeep` it keeps nothing new. */
  readonly keeper: (machine: string, sessionId: string, grant: Grant, mayKeep: boolean) => Stream1.Keeper | undefined
  /** Memory for what a link leaves to be delivered after its end, of those whom {@link keeper} counts it for. */
  readonly linger: (client: string, principal: string | undefined) => Linger
  /** Serves a tunnel until it is over; its scope ends then. */
  readonly begin: (begin: Begin, scope: Scope.CloseableScope) => Effect.Effect<Served.Served>
  /** The grant of the link whose last session it was. */
  readonly grantOf: (sessionId: string) => Grant | undefined
  /**
   * Links of a machine that can go on in another session, for whose client the hub vouched: those that wait for it, and then
   * those that do not know yet whether they have to, since a dead path is noticed late.
   */
  readonly resumable: (machine: string) => ReadonlyArray<DetachedLink>
  /** Begins nothing new, and waits until no stream is left; what is in use then and cannot be taken along is the result. */
  readonly drain: (within: number) => Effect.Effect<ReadonlyArray<string>>
  readonly held: () => TunnelHeld
}

interface Entry {
  readonly begin: Begin
  readonly served: Served.Served
  sessionId: string
  grant: Grant
}

/** For whom the hub vouched, by the name that it said last. */
const principalOf = ({ grant }: Entry): string | undefined => grant.client()?.principal

const gone = "the agent no longer has this session; it may have restarted, or waited too long"

/** Links live as long as the scope. */
export const make = (options: LinksOptions): Effect.Effect<Links, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { budget = new KeepBudget(), grace } = options
    const parent = yield* Effect.scope
    const fibers = yield* FiberMap.make<object, void>()
    /** Every one that is served, and by name those that can go on elsewhere. */
    const entries = new Set<Entry>()
    const byId = new Map<string, Entry>()
    const bySession = new Map<string, Entry>()
    let isStopping = false

    /** Waits for the client whenever it is away, until the link is over. */
    const wait = (entry: Entry) =>
      Effect.gen(function* () {
        const { tunnel } = entry.begin.begun
        while (true) {
          const { reason } = yield* tunnel.detached
          const { streams } = tunnel.held()
          yield* Effect.logInfo(`session lost: ${printable(reason)}`, {
            connections: streams,
            waiting: `${grace / 1000} s`
          })
          const back = yield* Effect.timeoutOption(tunnel.attached, grace)
          if (Option.isNone(back)) return tunnel.abandon(`the client did not come back within ${grace / 1000} s`)
        }
      })

    const serve = (entry: Entry, scope: Scope.CloseableScope) =>
      Effect.gen(function* () {
        const { run } = entry.served
        yield* Effect.forkIn(wait(entry), scope)
        const how = yield* run
        const said = `session ended: ${printable(how.reason)}`
        yield* how.kind === "tampered" ? Effect.logWarning(said) : Effect.logInfo(said)
      }).pipe(
        Effect.catchAllDefect((defect) => Effect.logError("session failed", defect)),
        Effect.ensuring(
          Effect.suspend(() => {
            entries.delete(entry)
            const { kept } = entry.begin.begun
            if (kept !== undefined) byId.delete(kept.id)
            if (bySession.get(entry.sessionId) === entry) bySession.delete(entry.sessionId)
            return Scope.close(scope, Exit.void)
          })
        )
      )

    /** What a client may ask for in one session; a link that goes on is held to that session's grant from then on. */
    const keeper = (machine: string, sessionId: string, grant: Grant, mayKeep: boolean): Stream1.Keeper => ({
      grace,
      goOn: ({ id }) => {
        const entry = byId.get(id)
        if (entry === undefined) return
        if (bySession.get(entry.sessionId) === entry) bySession.delete(entry.sessionId)
        bySession.set(sessionId, entry)
        entry.sessionId = sessionId
        entry.grant = grant
        entry.served.regrant(grant)
      },
      account: (client, principal) => (isStopping || !mayKeep ? undefined : budget.open(principal ?? client)),
      find: ({ attempt, client, link, principal }) => {
        const entry = byId.get(link)
        const kept = entry?.begin.begun.kept
        if (entry === undefined || kept === undefined || kept.link.isOver) return Either.left(gone)
        const isSame = entry.begin.machine.name === machine && kept.peer === client && principalOf(entry) === principal
        if (!isSame) return Either.left(gone)
        return attempt > kept.attempt ? Either.right(kept) : Either.left("a later try has come first")
      }
    })

    const hasRoom = (identity: string): boolean => {
      const one = budget.open(identity)
      one?.close()
      return one !== undefined
    }

    return {
      canWait: grace > 0,
      keeps: (machine, principal) => {
        if (grace === 0) return false
        if (!isStopping && hasRoom(principal ?? "")) return true
        return [...byId.values()].some(
          (entry) => entry.begin.machine.name === machine && principalOf(entry) === principal
        )
      },
      scope: Scope.fork(parent, ExecutionStrategy.sequential),
      linger: (client, principal) => (bytes) => budget.linger(principal ?? client, bytes),
      keeper: (machine, sessionId, grant, mayKeep) =>
        grace > 0 ? keeper(machine, sessionId, grant, mayKeep) : undefined,
      begin: (begin, scope) =>
        Effect.gen(function* () {
          const { begun, client, grant, machine, reach, sessionId } = begin
          const served = yield* Served.make({
            machine,
            reach,
            client,
            tunnel: begun.tunnel,
            isStopping: () => isStopping
          }).pipe(Scope.extend(scope))
          const entry: Entry = { begin, served, sessionId, grant }
          entries.add(entry)
          if (begun.kept !== undefined) byId.set(begun.kept.id, entry)
          bySession.set(sessionId, entry)
          served.regrant(grant)
          yield* FiberMap.run(fibers, entry, serve(entry, scope))
          return served
        }),
      grantOf: (sessionId) => bySession.get(sessionId)?.grant,
      resumable: (machine) => {
        const all = [...byId.values()].filter((each) => each.begin.machine.name === machine)
        const waiting = all.filter(({ begin }) => !begin.begun.tunnel.isAttached())
        return [...new Set([...waiting, ...all])]
          .flatMap((entry) => {
            const principal = principalOf(entry)
            return principal === undefined ? [] : [{ sessionId: entry.sessionId, principal }]
          })
          .slice(0, LISTED_ITEMS)
      },
      drain: (within) =>
        Effect.gen(function* () {
          isStopping = true
          const inUse = () => [...entries].flatMap((each) => each.served.inUse())
          const empty = Effect.iterate(inUse(), {
            while: (left) => left.length > 0,
            body: () => Effect.delay(Effect.sync(inUse), DRAIN_LOOK)
          })
          // Whoever stops may be a finalizer, in which nothing could be given up.
          yield* Effect.timeoutOption(Effect.interruptible(empty), within)
          return inUse()
        }),
      held: () =>
        [...entries].reduce((sum, { begin }) => {
          const { carrier, kept, streams, undelivered, unsent } = begin.begun.tunnel.held()
          return {
            unsent: sum.unsent + unsent,
            carrier: sum.carrier + carrier,
            kept: sum.kept + kept,
            undelivered: sum.undelivered + undelivered,
            streams: sum.streams + streams
          }
        }, heldNothing)
    }
  })
