/**
 * One ticker for all sockets of a program: asks with a ping who was silent since the last look, and destroys who stays
 * silent too long. An idle socket so costs no timer and no fiber of its own. Both ends may look; the one that looks more
 * often is the one that asks, since the other hears of it.
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
    /** Watches an open socket until it closes. */
    readonly watch: (socket: Pingable) => void
  }
>() {}

/** Starts the ticker; it ends with the scope. */
export const make = ({ deadAfter, interval }: Rhythm): Effect.Effect<typeof Heartbeat.Service, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    /** Looks since each socket was heard. */
    const silent = new Map<Pingable, number>()
    const most = Math.floor(deadAfter / interval)
    /** While our own messages wait, a ping waits behind them, and so does the answer. */
    const mostWhileSending = Math.floor(Math.max(deadAfter, DEAD_AFTER) / interval)
    let lastLook = clock.unsafeCurrentTimeMillis()

    const look = () => {
      const now = clock.unsafeCurrentTimeMillis()
      const wasAsleep = now - lastLook > 2 * interval
      lastLook = now
      for (const [socket, looks] of silent) {
        // Whoever slept, or was held up, has not listened either: everybody gets the whole time once more.
        const heard = wasAsleep || socket.isPaused
        if (!heard && looks >= (socket.bufferedAmount > 0 ? mostWhileSending : most)) {
          socket.terminate()
          continue
        }
        silent.set(socket, heard ? 0 : looks + 1)
        // While we do not read, silence is our own doing; the other end wants to hear of us all the same.
        if ((heard || looks > 0) && socket.readyState === socket.OPEN) socket.ping()
      }
    }

    yield* Effect.forkScoped(Effect.repeat(Effect.sync(look), Schedule.spaced(interval)))

    return {
      watch: (socket) => {
        const alive = () => {
          silent.set(socket, 0)
        }
        alive()
        // On a slow link data is all there is for a long time: a pong waits behind it.
        socket.on("message", alive)
        socket.on("ping", alive)
        socket.on("pong", alive)
        socket.on("close", () => silent.delete(socket))
      }
    }
  })

/** For a hub. */
export const layer: Layer.Layer<Heartbeat> = Layer.scoped(Heartbeat, make(accepted))

/** For whoever dials. */
export const layerDialled: Layer.Layer<Heartbeat> = Layer.scoped(Heartbeat, make(dialled))
