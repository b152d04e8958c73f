/**
 * TCP sockets as byte streams: half-close in each direction, resets that stay resets, and backpressure both ways.
 */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { SOCKET_SEND_QUEUE } from "../protocol/Limits.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import type { ByteStream, ByteStreamHandlers } from "./ByteStream.ts"
import { type Destination, dial } from "./internal/dial.ts"
import { type ListenError, listenError } from "./ListenError.ts"

class TcpStream implements ByteStream {
  readonly #socket: Net.Socket
  #reset: StreamReset | undefined

  constructor(socket: Net.Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on("error", (error) => {
      this.#reset ??= new StreamReset({ code: ResetCode.cancelled, reason: `connection lost: ${error.message}` })
    })
  }

  write(chunk: Uint8Array) {
    return this.#socket.write(chunk)
  }

  end() {
    this.#socket.end()
  }

  reset(reason: StreamReset) {
    if (this.#socket.destroyed) return
    this.#reset ??= reason
    this.#socket.resetAndDestroy()
  }

  pause() {
    this.#socket.pause()
  }

  resume() {
    this.#socket.resume()
  }

  attach(handlers: ByteStreamHandlers) {
    const socket = this.#socket
    socket.on("end", handlers.end)
    socket.on("drain", handlers.drain)
    socket.on("close", () => handlers.closed(this.#reset))
    socket.on("data", handlers.data)
    if (socket.closed) handlers.closed(this.#reset)
    else socket.resume()
  }
}

/** Connects to a service. Fails with what to tell the person at the other end of the tunnel. */
export const connect = (to: Destination): Effect.Effect<ByteStream, StreamReset> =>
  dial(to, (socket) => new TcpStream(socket))

/** Listens until the scope ends; then every connection taken is reset, too. Port 0 takes any free port. */
export const listen = (options: {
  readonly host: string
  readonly port: number
  /** Called for each connection with the stream and the address it came from. */
  readonly onConnection: (stream: ByteStream, peer: string) => void
}): Effect.Effect<{ readonly port: number }, ListenError, Scope.Scope> => {
  const open = new Set<Net.Socket>()
  const server = Net.createServer(
    { allowHalfOpen: true, pauseOnConnect: true, highWaterMark: SOCKET_SEND_QUEUE },
    (socket) => {
      open.add(socket)
      socket.once("close", () => open.delete(socket))
      options.onConnection(new TcpStream(socket), `${socket.remoteAddress ?? ""}:${socket.remotePort ?? 0}`)
    }
  )
  const start = Effect.async<{ readonly port: number }, ListenError>((resume) => {
    const { host, port } = options
    server.once("error", (error) => resume(Effect.fail(listenError(error, { host, port }))))
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address()
      resume(Effect.succeed({ port: typeof address === "object" && address !== null ? address.port : port }))
    })
  })
  return Effect.acquireRelease(start, () =>
    Effect.async<void>((resume) => {
      for (const socket of open) socket.resetAndDestroy()
      server.close(() => resume(Effect.void))
    })
  )
}
