/**
 * One ticker for all sockets of a program: asks with a ping who was silent since the last look, and destroys who stays
 * silent too long. An idle socket so costs no timer and no fiber of its own. Both ends may look; the one that looks more
 * often is the one that asks, since the other hears of it.
 *
 * While our own messages wait, a ping waits behind them, and so does its answer: silence is then judged by whether the
 * system still takes some of them. On a path that is gone it stops as soon as its buffers are full; on a slow one it goes
 * on, and where it does so in large steps the other end is heard, since it reads.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { DEAD_AFTER, DIALLED_DEAD_AFTER, DIALLED_PING_INTERVAL, PING_INTERVAL } from "../protocol/Limits.ts"

/** How often sockets are looked at, and after how much silence, to within one look, one is dead. Milliseconds. */
export interface Rhythm {
  readonly interval: number
  readonly deadAfter: number
}

/** Of a hub, for the sockets it accepted. */
export const accepted: Rhythm = { interval: PING_INTERVAL, deadAfter: DEAD_AFTER }

/** Of agents and clients, for the sockets they dialled. */
export const dialled: Rhythm = { interval: DIALLED_PING_INTERVAL, deadAfter: DIALLED_DEAD_AFTER }

/** As much of a WebSocket as a heartbeat needs. */
export interface Pingable {
  readonly OPEN: number
  readonly readyState: number
  readonly isPaused: boolean
  readonly bufferedAmount: number
  ping(): void
  terminate(): void
  on(event: "message" | "ping" | "pong" | "close", listener: () => void): unknown
}

export class Heartbeat extends Context.Tag("tela/transport/Heartbeat")<
  Heartbeat,
  {
    /**
     * Watches an open socket until it closes. `taken` changes whenever the system takes some of what waits; without it,
     * nobody who is silent is given longer for what waits.
     */
    readonly watch: (socket: Pingable, taken?: () => number) => void
  }
>() {}

/** What is known of a socket, in looks. */
interface Watched {
  /** Since it was heard. */
  silent: number
  /** Since the system was seen to take something. */
  still: number
  lastTaken: number
  readonly taken: () => number
}

const nothing = () => 0

const ask = (socket: Pingable) => {
  if (socket.readyState === socket.OPEN) socket.ping()
}

/** Starts the ticker; it ends with the scope. */
export const make = ({ deadAfter, interval }: Rhythm): Effect.Effect<typeof Heartbeat.Service, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const sockets = new Map<Pingable, Watched>()
    const most = Math.floor(deadAfter / interval)
    const mostWhileSending = Math.floor(Math.max(deadAfter, DEAD_AFTER) / interval)
    let lastLook = clock.unsafeCurrentTimeMillis()

    const look = () => {
      const now = clock.unsafeCurrentTimeMillis()
      const wasAsleep = now - lastLook > 2 * interval
      lastLook = now
      for (const [socket, watched] of sockets) {
        const taken = watched.taken()
        watched.still = taken === watched.lastTaken ? watched.still + 1 : 0
        watched.lastTaken = taken
        // Whoever slept, or was held up, has not listened either: everybody gets the whole time once more.
        if (wasAsleep || socket.isPaused) {
          watched.silent = 0
          if (!socket.isPaused) ask(socket)
          continue
        }
        const isMoving = socket.bufferedAmount > 0 && watched.still < most
        if (watched.silent >= (isMoving ? mostWhileSending : most)) {
          socket.terminate()
          continue
        }
        if (watched.silent++ > 0) ask(socket)
      }
    }

    /** While we do not read, silence is our own doing; the other end wants to hear of us all the same. */
    const reassure = () => {
      for (const socket of sockets.keys()) if (socket.isPaused) ask(socket)
    }

    yield* Effect.forkScoped(Effect.repeat(Effect.sync(look), Schedule.spaced(interval)))
    yield* Effect.forkScoped(
      Effect.repeat(Effect.sync(reassure), Schedule.spaced(Math.min(interval, DIALLED_PING_INTERVAL)))
    )

    return {
      watch: (socket, taken = nothing) => {
        const watched: Watched = { silent: 0, still: 0, lastTaken: taken(), taken }
        sockets.set(socket, watched)
        const alive = () => {
          watched.silent = 0
        }
        // On a slow link data is all there is for a long time: a pong waits behind it.
        socket.on("message", alive)
        socket.on("ping", alive)
        socket.on("pong", alive)
        socket.on("close", () => sockets.delete(socket))
      }
    }
  })

/** For a hub. */
export const layer: Layer.Layer<Heartbeat> = Layer.scoped(Heartbeat, make(accepted))

/** For whoever dials. */
export const layerDialled: Layer.Layer<Heartbeat> = Layer.scoped(Heartbeat, make(dialled))
