/**
 * One ticker for all sockets of a program: pings each every PING_INTERVAL and destroys those that stayed silent for
 * DEAD_AFTER. An idle socket so costs no timer and no fiber of its own.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { WebSocket } from "ws"
import { DEAD_AFTER, PING_INTERVAL } from "../protocol/Limits.ts"

/** Ticks of silence after which a socket is dead. */
const TICKS = Math.ceil(DEAD_AFTER / PING_INTERVAL)

export class Heartbeat extends Context.Tag("tela/transport/Heartbeat")<
  Heartbeat,
  {
    /** Watches an open socket until it closes. */
    readonly watch: (socket: WebSocket) => void
  }
>() {}

/** Starts the ticker; it ends with the scope. */
export const make: Effect.Effect<typeof Heartbeat.Service, never, Scope.Scope> = Effect.gen(function* () {
  const silentTicks = new Map<WebSocket, number>()

  const tick = () => {
    for (const [socket, ticks] of silentTicks) {
      // While we do not read, silence is our own doing.
      if (socket.isPaused) silentTicks.set(socket, 0)
      else if (ticks >= TICKS) socket.terminate()
      else {
        silentTicks.set(socket, ticks + 1)
        if (socket.readyState === socket.OPEN) socket.ping()
      }
    }
  }

  function alive(this: WebSocket) {
    if (silentTicks.has(this)) silentTicks.set(this, 0)
  }
  function gone(this: WebSocket) {
    silentTicks.delete(this)
  }

  yield* Effect.forkScoped(Effect.repeat(Effect.sync(tick), Schedule.spaced(PING_INTERVAL)))

  return {
    watch: (socket) => {
      silentTicks.set(socket, 0)
      socket.on("ping", alive)
      socket.on("pong", alive)
      socket.on("close", gone)
    }
  }
})

export const layer: Layer.Layer<Heartbeat> = Layer.scoped(Heartbeat, make)
