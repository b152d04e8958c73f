/**
 * A bad network between programs and their hub, in one process: connections dialled through it can be delayed, slowed, cut,
 * held back and lost without either end noticing. For tests of Tela, and of programs that embed it: it stands on any Dial,
 * over sockets as well as in memory.
 *
 * Every fault takes the kind of connection that it is for; without one it is for all.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as FiberSet from "effect/FiberSet"
import * as Scope from "effect/Scope"
import { CloseCode } from "../protocol/Close.ts"
import * as Control from "../protocol/Control.ts"
import type { Dial } from "../transport/Carrier.ts"
import * as FaultCarrier from "../transport/FaultCarrier.ts"
import { fair, type Weather } from "../transport/FaultPath.ts"
import * as Seed from "./Seed.ts"

/** What a connection is: an agent's registration, its end of a session, or a client's end of one. */
export type End = "control" | "session" | "client"

export type ProgramName = "agent" | "client"

export interface FaultNetwork {
  /** The same hub, reached through this network. */
  readonly through: (program: ProgramName, dial: Dial) => Dial
  /** Connections are lost, and `hearing` says which of their ends see it; the other one does at `heal`. */
  readonly cut: (end?: End, hearing?: FaultCarrier.Hearing) => void
  /** From now on nothing passes on what stands, and nobody notices, until `heal` ends it. New connections work. */
  readonly halfOpen: (end?: End, direction?: FaultCarrier.Direction) => void
  /**
   * The near ends see their connections lost, while the hub is delivered what had been sent on them only after so many
   * milliseconds: late data of an old connection, when a new one is up.
   */
  readonly strand: (milliseconds: number, end?: End) => void
  /** Nothing passes for so many milliseconds, on what stands and what is dialled; then everything goes on. */
  readonly partition: (milliseconds: number, end?: End) => void
  /** What the network is like from now on; what is not said stays. */
  readonly weather: (weather: Partial<Weather>, end?: End) => void
  readonly slow: (bytesPerSecond: number, end?: End) => void
  /** Fair weather, no partition; connections that only one end, or none, takes for lost are lost for both. */
  readonly heal: () => void
  /** Connections that at least one end takes to stand. */
  readonly connections: () => number
}

interface Connection {
  readonly carrier: FaultCarrier.FaultCarrier
  end: End
  /** Held for good: no partition's end lets it go on. */
  doomed: boolean
}

const ends = ["control", "session", "client"] as const
const isFor = (end: End | undefined, each: End) => end === undefined || end === each
const ofProgram = (program: ProgramName): ReadonlyArray<End> =>
  program === "client" ? ["client"] : ["control", "session"]

/** Its timers and connections end with the scope. Chance is the seed's: the jitter of messages, and nothing else. */
export const make = (options: { readonly seed?: number } = {}): Effect.Effect<FaultNetwork, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { next: random } = Seed.make(options.seed ?? 0)
    const connections = new Set<Connection>()
    const timers = new Set<ReturnType<typeof setTimeout>>()
    const weathers = new Map<End, Weather>(ends.map((end) => [end, fair]))
    /** Until when nothing passes, in milliseconds of `performance.now`. */
    const parted = new Map<End, number>()
    const dialling = new Set<() => void>()
    const network = yield* Effect.scope
    const run = yield* FiberSet.makeRuntime<never>()

    const isParted = (end: End) => (parted.get(end) ?? 0) > performance.now()
    const each = (end: End | undefined, act: (connection: Connection) => void) => {
      for (const connection of [...connections]) if (isFor(end, connection.end)) act(connection)
    }
    const after = (milliseconds: number, act: () => void) => {
      const timer = setTimeout(() => {
        timers.delete(timer)
        act()
      }, milliseconds)
      timers.add(timer)
    }
    const settle = (connection: Connection) => {
      connection.carrier.set(weathers.get(connection.end) ?? fair)
      if (isParted(connection.end)) connection.carrier.hold()
      else if (!connection.doomed) connection.carrier.release()
    }
    const goOn = () => {
      each(undefined, settle)
      for (const resume of [...dialling]) resume()
    }
    const heal = () => {
      parted.clear()
      for (const end of ends) weathers.set(end, fair)
      each(undefined, ({ carrier, doomed }) => {
        if (doomed) carrier.cut()
      })
      goOn()
    }

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const timer of timers) clearTimeout(timer)
        each(undefined, ({ carrier }) => carrier.cut())
      })
    )

    const passable = (program: ProgramName) =>
      Effect.async<void>((resume) => {
        const look = () => {
          if (ofProgram(program).some(isParted)) return
          dialling.delete(look)
          resume(Effect.void)
        }
        dialling.add(look)
        look()
        return Effect.sync(() => dialling.delete(look))
      })

    const open = (program: ProgramName, dial: Dial) => (url: string) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          yield* restore(passable(program))
          // A connection that nobody answers for outlives the program that dialled it.
          const scope = yield* Scope.fork(network, ExecutionStrategy.sequential)
          const inner = yield* Scope.extend(restore(dial(url)), scope).pipe(
            Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void))
          )
          const carrier = FaultCarrier.make(inner, {
            random,
            firstText: (text) => {
              const said = Control.decode(text)
              if (Either.isRight(said) && said.right.type === "register") connection.end = "control"
              settle(connection)
            },
            over: () => {
              connections.delete(connection)
              run(Scope.close(scope, Exit.void))
            }
          })
          const connection: Connection = { carrier, end: program === "client" ? "client" : "session", doomed: false }
          connections.add(connection)
          yield* Effect.addFinalizer(() => Effect.sync(() => carrier.close(CloseCode.goingAway, "")))
          return carrier
        })
      )

    const change = (weather: Partial<Weather>, end: End | undefined) => {
      for (const each of ends) {
        if (isFor(end, each)) weathers.set(each, { ...(weathers.get(each) ?? fair), ...weather })
      }
      each(end, settle)
    }

    const doom = (connection: Connection, act: (carrier: FaultCarrier.FaultCarrier) => void) => {
      connection.doomed = true
      act(connection.carrier)
    }

    return {
      through: open,
      cut: (end, hearing = "both") =>
        each(end, (connection) => {
          if (hearing === "both") connection.carrier.cut()
          else doom(connection, (carrier) => carrier.cut(hearing))
        }),
      halfOpen: (end, direction) => each(end, (connection) => doom(connection, (carrier) => carrier.hold(direction))),
      strand: (milliseconds, end) =>
        each(end, (connection) => {
          if (connection.doomed) return
          doom(connection, (carrier) => carrier.cut("near"))
          after(milliseconds, () => connection.carrier.release())
        }),
      partition: (milliseconds, end) => {
        for (const each of ends) {
          if (isFor(end, each)) parted.set(each, Math.max(parted.get(each) ?? 0, performance.now() + milliseconds))
        }
        each(end, ({ carrier }) => carrier.hold())
        after(milliseconds + 1, goOn)
      },
      weather: change,
      slow: (bytesPerSecond, end) => change({ bytesPerSecond }, end),
      heal,
      connections: () => connections.size
    }
  })
