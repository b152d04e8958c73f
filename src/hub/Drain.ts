/**
 * How a hub stops without anybody losing a connection: it takes nothing new, tells every peer when to come back, agents
 * first and no more a second than a starting hub takes in, and waits. Peers that can go on elsewhere get DRAIN_MOVE to do
 * so while their old socket stands; others may finish, within a bound.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { jittered } from "../protocol/Backoff.ts"
import { CloseCode, Refusal } from "../protocol/Close.ts"
import { encode } from "../protocol/Control.ts"
import {
  DRAIN_ANSWERS,
  DRAIN_CLIENT_LAG,
  DRAIN_LOOK,
  DRAIN_MOVE,
  DRAIN_RATE,
  DRAIN_RETURN
} from "../protocol/Limits.ts"
import * as HubMetrics from "../telemetry/HubMetrics.ts"
import type { Carrier } from "../transport/Carrier.ts"
import * as Slices from "../transport/Slices.ts"
import { Arrivals } from "./Arrivals.ts"
import { Directory } from "./Directory.ts"
import type { Agent, Machine } from "./Directory.ts"
import { refusedByDraining } from "./Refused.ts"
import type { Refused } from "./Refused.ts"
import { Sessions } from "./Sessions.ts"
import type { Session } from "./Sessions.ts"

/** What became of the sessions that a stopping hub had. */
export interface Drained {
  /** Whose ends were told to go on elsewhere, and can. */
  readonly moved: number
  /** Whose ends cannot, and which were over in time. */
  readonly finished: number
  /** Which were not; and those of the first whose time to move had not passed when the hub's was over. */
  readonly cut: number
}

export class Drain extends Context.Tag("tela/hub/Drain")<
  Drain,
  {
    /** Whether the hub is about to stop. */
    readonly isDraining: () => boolean
    /** Succeeds while something new is taken, and fails with what whoever asks for it is told from then on. */
    readonly admits: Effect.Effect<void, Refused>
    /** From now on nothing new is taken. */
    readonly begin: () => void
    /** Runs a request of the HTTP interface, which a hub that stops waits for. */
    readonly answering: <A, E, R>(request: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Waits for the requests under way, for DRAIN_ANSWERS at most. */
    readonly answered: Effect.Effect<void>
    /** Tells everybody, and waits until nobody is left, for `within` milliseconds at most. */
    readonly run: (within: number) => Effect.Effect<Drained>
  }
>() {}

/**
 * When each of `count` peers is to come back, in milliseconds from now: no more than DRAIN_RATE a second, if they can all
 * have moved so before the hub goes. With less time it is more, for at its end all that are left would come at once; but
 * half of the time is for coming back, however little it is.
 */
export const spreadOf = (count: number, within: number): ((index: number) => number) => {
  const last = (count * 1_000) / DRAIN_RATE
  const room = Math.max(within - DRAIN_MOVE, within / 2) - DRAIN_RETURN - DRAIN_CLIENT_LAG
  const pace = last > room ? Math.max(0, room) / last : 1
  return (index) => DRAIN_RETURN + Math.floor((index * 1_000 * pace) / DRAIN_RATE)
}

/** The same for all peers of a hub: the clients of a machine come after its agent. */
const schedule = (machines: ReadonlyArray<Machine>, sessions: ReadonlyArray<Session>, within: number) => {
  const spread = spreadOf(Math.max(machines.length, sessions.length), within)
  const agents = new Map(machines.map(({ name }, index) => [name, spread(index)]))
  return {
    agent: (machine: Machine): number => agents.get(machine.name) ?? DRAIN_RETURN,
    sessions: new Map(
      sessions.map((session, index) => [
        session,
        Math.max(agents.get(session.machine) ?? 0, spread(index)) + DRAIN_CLIENT_LAG
      ])
    )
  }
}

export const make: Effect.Effect<typeof Drain.Service, never, Arrivals | Directory | Sessions> = Effect.gen(
  function* () {
    const arrivals = yield* Arrivals
    const directory = yield* Directory
    const sessions = yield* Sessions
    const clock = yield* Effect.clock
    const later = Slices.make()
    let draining = false
    let requests = 0

    const tell = (carrier: Carrier | undefined, retryIn: number) => {
      if (carrier !== undefined) later(() => carrier.sendText(encode({ type: "drain", retryIn })))
    }
    const dismiss = (carrier: Carrier | undefined) => {
      if (carrier !== undefined) later(() => carrier.close(CloseCode.restart, Refusal.draining))
    }

    /** Looks at who is left until nobody is, or the time has come. */
    const until = (end: number, isOver: () => boolean): Effect.Effect<void> =>
      Effect.sleep(DRAIN_LOOK).pipe(
        Effect.repeat({ until: () => isOver() || clock.unsafeCurrentTimeMillis() >= end }),
        Effect.unless(isOver)
      )

    const run = (within: number) =>
      Effect.gen(function* () {
        const begun = clock.unsafeCurrentTimeMillis()
        const end = begun + within
        const machines = directory.list().filter(({ agent }) => agent !== undefined)
        const all = [...sessions.all()]
        const times = schedule(machines, all, within)
        /** Who is still to be dismissed, and when. */
        const agents = new Map<Agent, { readonly machine: Machine; readonly at: number }>()
        const moving = new Map<Session, number>()
        const staying = new Set<Session>()

        for (const machine of machines) {
          const retryIn = times.agent(machine)
          tell(machine.agent?.carrier, retryIn)
          if (machine.agent) agents.set(machine.agent, { machine, at: begun + retryIn + DRAIN_MOVE })
        }
        for (const session of all) {
          const retryIn = times.sessions.get(session) ?? DRAIN_RETURN
          tell(session.client.carrier, retryIn)
          tell(session.agent, retryIn)
          // An agent that has not joined yet comes too late: its new socket would be the next hub's.
          if (session.resumes || session.agent === undefined) moving.set(session, begun + retryIn + DRAIN_MOVE)
          else staying.add(session)
        }
        const others = staying.size

        const look = () => {
          const now = clock.unsafeCurrentTimeMillis()
          const left = new Set(sessions.all())
          for (const [session, at] of moving) {
            if (left.has(session) && now < at) continue
            moving.delete(session)
            if (!left.has(session)) continue
            dismiss(session.agent)
            dismiss(session.client.carrier)
          }
          for (const session of staying) if (!left.has(session)) staying.delete(session)
          const busy = new Set([...staying].map(({ machine }) => machine))
          for (const [agent, { at, machine }] of agents) {
            // Losing this socket would end the sessions of an agent that cannot go on elsewhere.
            const isHere = machine.agent === agent
            if (isHere && (now < at || busy.has(machine.name))) continue
            agents.delete(agent)
            if (isHere) dismiss(agent.carrier)
          }
          return sessions.size() === 0 && directory.connected() === 0
        }

        yield* until(end, look)
        const drained = {
          moved: all.length - others - moving.size,
          finished: others - staying.size,
          cut: staying.size + moving.size
        }
        for (const session of sessions.all()) {
          dismiss(session.agent)
          dismiss(session.client.carrier)
        }
        for (const { agent } of directory.list()) dismiss(agent?.carrier)
        HubMetrics.drained.unsafeUpdate(all.length, [])
        yield* Effect.logInfo("drained", drained)
        return drained
      })

    return {
      isDraining: () => draining,
      admits: Effect.suspend(() => {
        if (!draining) return Effect.void
        HubMetrics.countRefused("draining")
        return Effect.flatMap(Random.next, (chance) => refusedByDraining(jittered(2 * DRAIN_RETURN, chance)))
      }),
      begin: () => {
        draining = true
        arrivals.wakeAll()
      },
      answering: (request) =>
        Effect.acquireUseRelease(
          Effect.sync(() => requests++),
          () => request,
          () => Effect.sync(() => requests--)
        ),
      answered: Effect.suspend(() => until(clock.unsafeCurrentTimeMillis() + DRAIN_ANSWERS, () => requests === 0)),
      run
    }
  }
)

export const layer: Layer.Layer<Drain, never, Arrivals | Directory | Sessions> = Layer.effect(Drain, make)
