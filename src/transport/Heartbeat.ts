/**
 * One ticker for all sockets of a program: pings each every PING_INTERVAL and destroys those that stayed silent for
 * DEAD_AFTER. An idle socket so costs no timer and no fiber of its own.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { DEAD_AFTER, PING_INTERVAL } from "../protocol/Limits.ts"

/** Ticks of silence after which a socket is dead: DEAD_AFTER to within one PING_INTERVAL. */
const TICKS = Math.floor(DEAD_AFTER / PING_INTERVAL)

/** As much of a WebSocket as a heartbeat needs. */
export interface Pingable {
  readonly OPEN: number
  readonly readyState: number
  readonly isPaused: boolean
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
export const make: Effect.Effect<typeof Heartbeat.Service, never, Scope.Scope> = Effect.gen(function* () {
  const silentTicks = new Map<Pingable, number>()

  const tick = () => {
    for (const [socket, ticks] of silentTicks) {
      if (ticks >= TICKS) {
        socket.terminate()
        continue
      }
      // While we do not read, silence is our own doing; the other end wants to hear of us all the same.
      silentTicks.set(socket, socket.isPaused ? 0 : ticks + 1)
      if (socket.readyState === socket.OPEN) socket.ping()
    }
  }

  yield* Effect.forkScoped(Effect.repeat(Effect.sync(tick), Schedule.spaced(PING_INTERVAL)))

  return {
    watch: (socket) => {
      const alive = () => {
        silentTicks.set(socket, 0)
      }
      alive()
      // On a slow link data is all there is for a long time: a pong waits behind it.
      socket.on("message", alive)
      socket.on("ping", alive)
      socket.on("pong", alive)
      socket.on("close", () => silentTicks.delete(socket))
    }
  }
})

export const layer: Layer.Layer<Heartbeat> = Layer.scoped(Heartbeat, make)
