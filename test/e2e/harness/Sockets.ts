/**
 * Services and users of services, as plain TCP: servers that go with their scope, and the few things a test does with a
 * connection. Both ends keep half-open connections, so that a test sees each direction end on its own.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import * as Net from "node:net"

/** What a connection came to: whether the peer finished in order or reset it. */
export type Close = "ended" | "reset"

/** Starts a server on a loopback address, at a port of its own choosing unless one is given; its scope ends it and its connections. */
export const serve = (
  handle: (socket: Net.Socket) => void,
  host = "127.0.0.1",
  port = 0
): Effect.Effect<number, Error, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<Net.Socket>()
    const server = Net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => sockets.delete(socket))
      handle(socket)
    })
    yield* Effect.addFinalizer(() =>
      Effect.async<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
    )
    yield* Effect.async<void, Error>((resume) => {
      server.once("error", (error) => resume(Effect.fail(error)))
      server.listen(port, host, () => resume(Effect.void))
    })
    const address = server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  })

/** Sends back what it gets, and ends when its peer ends. */
export const echo = (socket: Net.Socket): void => {
  socket.pipe(socket)
}

/** Reads to the end, and only then answers with the length and SHA-256 of what it read: needs half-close. */
export const digest = (socket: Net.Socket): void => {
  const hash = createHash("sha256")
  let length = 0
  socket.on("data", (chunk) => {
    hash.update(chunk)
    length += chunk.length
  })
  socket.on("end", () => socket.end(`${length} ${hash.digest("hex")}\n`))
}

/** What {@link digest} answers to these bytes. */
export const digestOf = (bytes: Uint8Array): string =>
  `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}\n`

/** Opens a connection; the scope destroys it. */
export const open = (port: number, host = "127.0.0.1"): Effect.Effect<Net.Socket, Error, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => Net.connect({ port, host, allowHalfOpen: true, noDelay: true }).on("error", () => {})),
    (socket) => Effect.sync(() => socket.destroy())
  ).pipe(
    Effect.tap((socket) =>
      Effect.async<void, Error>((resume) => {
        socket.once("connect", () => resume(Effect.void))
        socket.once("error", (error) => resume(Effect.fail(error)))
      })
    )
  )

/** Takes everything until the peer ends; fails when it resets instead. */
export const readToEnd = (socket: Net.Socket): Effect.Effect<Buffer, Error> =>
  Effect.async<Buffer, Error>((resume) => {
    const chunks: Array<Buffer> = []
    socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    socket.once("end", () => resume(Effect.succeed(Buffer.concat(chunks))))
    socket.once("error", (error) => resume(Effect.fail(error)))
    socket.once("close", () => resume(Effect.fail(new Error("closed before its end"))))
  })

/** Takes exactly that many bytes, and leaves the rest. */
export const read = (socket: Net.Socket, bytes: number): Effect.Effect<Buffer, Error> =>
  Effect.async<Buffer, Error>((resume) => {
    const stop = () => {
      socket.off("readable", look)
      socket.off("error", failed)
      socket.off("end", ended)
      socket.off("close", ended)
    }
    const look = () => {
      const chunk: Buffer | null = socket.read(bytes)
      if (chunk === null || chunk.length < bytes) return
      stop()
      resume(Effect.succeed(chunk))
    }
    const failed = (error: Error) => {
      stop()
      resume(Effect.fail(error))
    }
    const ended = () => failed(new Error(`ended before ${bytes} bytes had come`))
    socket.on("readable", look)
    socket.once("error", failed)
    socket.once("end", ended)
    socket.once("close", ended)
    look()
    return Effect.sync(stop)
  })

/**
 * How a stream that is at its end came there. A reset that comes with the last bytes looks like an end to Node (libuv takes
 * the hang-up for one), while the system knows: a connection that was reset has no peer any more, one that ended has.
 */
const endOf = (socket: Net.Socket): Close => (!socket.destroyed && socket.remotePort === undefined ? "reset" : "ended")

/** Waits until the peer is through, whatever it still sends. */
export const closeOf = (socket: Net.Socket): Effect.Effect<Close> =>
  Effect.async<Close>((resume) => {
    if (socket.errored !== null) return resume(Effect.succeed("reset"))
    if (socket.readableEnded) return resume(Effect.succeed(endOf(socket)))
    if (socket.closed) return resume(Effect.succeed("reset"))
    socket.once("end", () => resume(Effect.succeed(endOf(socket))))
    socket.once("error", () => resume(Effect.succeed("reset")))
    socket.once("close", () => resume(Effect.succeed(socket.readableEnded ? "ended" : "reset")))
    socket.resume()
  })

/** Sends `bytes` in writes that wait for room, and returns when the last one was taken. */
export const write = (socket: Net.Socket, bytes: Uint8Array): Effect.Effect<void, Error> =>
  Effect.async<void, Error>((resume) => {
    socket.write(bytes, (error) => resume(error ? Effect.fail(error) : Effect.void))
  })
