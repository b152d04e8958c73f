/** That it is seen whether the system still takes what waits in a socket, which Node has no call for. */
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { taken } from "../../src/transport/internal/memory.ts"
import * as Heartbeat from "../../src/transport/Heartbeat.ts"
import * as Certificates from "../support/certificates.ts"

const MiB = 2 ** 20
const pause = Effect.sleep(50)

/** A connection to somebody who reads nothing, and what makes him read so much. */
const connected = (kind: "tcp" | "tls") =>
  Effect.gen(function* () {
    const { ca, cert, key } = yield* Certificates.make("IP:127.0.0.1")
    const accepted: Array<Net.Socket> = []
    const sockets: Array<Net.Socket> = []
    const secure = kind === "tls" ? Tls.createServer({ cert, key }) : undefined
    secure?.on("secureConnection", (socket) => {
      sockets.push(socket)
      socket.on("error", () => {})
    })
    const server = Net.createServer({ pauseOnConnect: kind === "tcp" }, (socket) => {
      accepted.push(socket)
      socket.on("error", () => {})
      secure?.emit("connection", socket)
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () => Effect.sync(() => [...accepted, ...sockets].forEach((socket) => socket.destroy()) ?? server.close())
    )
    const address = server.address()
    const to = { port: typeof address === "object" && address !== null ? address.port : 0, host: "127.0.0.1" }
    const socket = yield* Effect.acquireRelease(
      Effect.async<Net.Socket>((resume) => {
        const socket = kind === "tls" ? Tls.connect({ ...to, ca: Fs.readFileSync(ca) }) : Net.connect(to)
        socket.once(kind === "tls" ? "secureConnect" : "connect", () => resume(Effect.succeed(socket)))
      }),
      (opened) => Effect.sync(() => opened.destroy())
    )
    while ((kind === "tls" ? sockets : accepted).length === 0) yield* pause
    const far = (kind === "tls" ? sockets : accepted)[0]
    if (far === undefined) return yield* Effect.dieMessage("nobody came")
    /** Reads until so much has come, and stops again. */
    const read = (bytes: number) =>
      Effect.async<void>((resume) => {
        let left = bytes
        const more = (chunk: Buffer) => {
          left -= chunk.length
          if (left > 0) return
          far.off("data", more)
          far.pause()
          resume(Effect.void)
        }
        far.on("data", more)
        far.resume()
      })
    return { socket, read }
  })

/** A socket as a heartbeat sees it, from which nothing is ever heard. */
const silent = (socket: Net.Socket) => {
  const seen = { isDead: false }
  const pingable: Heartbeat.Pingable = {
    OPEN: 1,
    readyState: 1,
    isPaused: false,
    get bufferedAmount() {
      return socket.writableLength
    },
    ping: () => {},
    terminate: () => {
      seen.isDead = true
    },
    on: () => {}
  }
  return { pingable, seen }
}

describe("what the system takes of a socket", () => {
  for (const kind of ["tcp", "tls"] as const) {
    it.scopedLive(`is what keeps a heartbeat from giving up whoever only says nothing: ${kind}`, () =>
      Effect.gen(function* () {
        const heartbeat = yield* Heartbeat.make({ interval: 250, deadAfter: 500 })
        const { read, socket } = yield* connected(kind)
        socket.write(Buffer.alloc(64 * MiB))
        const { pingable, seen } = silent(socket)
        heartbeat.watch(pingable, () => taken(socket))
        for (let slow = 0; slow < 40; slow++) {
          yield* read(MiB)
          yield* Effect.sleep(20)
          assert.isFalse(seen.isDead, `after ${slow} MiB`)
        }
        assert.isAbove(socket.writableLength, 0)
        yield* Effect.sleep(2_000)
        assert.isTrue(seen.isDead)
      })
    )

    it.scopedLive(`stands still when nobody reads, and moves while somebody does: ${kind}`, () =>
      Effect.gen(function* () {
        const { read, socket } = yield* connected(kind)
        // One write, in the middle of which it is to be seen.
        socket.write(Buffer.alloc(64 * MiB))
        const still = Effect.gen(function* () {
          for (let last = -1, same = 0; same < 5; yield* pause) {
            const now = taken(socket)
            same = now === last ? same + 1 : 0
            last = now
          }
          return taken(socket)
        })
        const before = yield* still
        assert.isAbove(before, 0)
        socket.write("a ping")
        yield* pause
        assert.strictEqual(taken(socket), before, "what only waits is not taken")
        yield* read(16 * MiB)
        const after = yield* still
        assert.isAtLeast(after - before, 4 * MiB)
        assert.isAbove(socket.writableLength, 0, "and some waits still")
      })
    )
  }
})
