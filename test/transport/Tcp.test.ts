import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { SOCKET_SEND_QUEUE, TARGET_DIAL_TIMEOUT } from "../../src/protocol/Limits.ts"
import { ResetCode, StreamReset } from "../../src/protocol/StreamReset.ts"
import { type ByteStream, splice } from "../../src/transport/ByteStream.ts"
import * as Tcp from "../../src/transport/Tcp.ts"
import { collect } from "../support/collect.ts"

const host = "127.0.0.1"

/** Two connected streams: one from `listen`, one from `connect`. */
const connected = Effect.gen(function* () {
  const accepted = yield* Deferred.make<ByteStream>()
  const server = yield* Tcp.listen({
    host,
    port: 0,
    onConnection: (stream) => void Deferred.unsafeDone(accepted, Effect.succeed(stream))
  })
  const near = yield* Tcp.connect({ host, port: server.port, timeout: TARGET_DIAL_TIMEOUT })
  return { near, far: yield* Deferred.await(accepted), port: server.port }
})

/** A plain node socket as one end, our streams spliced in the middle, our stream as the other end. */
const through = Effect.gen(function* () {
  const target = yield* connected
  const joined = yield* Deferred.make<ByteStream>()
  const front = yield* Tcp.listen({
    host,
    port: 0,
    onConnection: (stream) => void Deferred.unsafeDone(joined, Effect.succeed(stream))
  })
  const local = yield* Tcp.connect({ host, port: front.port, timeout: TARGET_DIAL_TIMEOUT })
  const middle = yield* Effect.fork(splice(yield* Deferred.await(joined), target.near))
  return { local, service: target.far, middle }
})

describe("Tcp", () => {
  it.scopedLive("passes bytes and half-closes through a splice, and counts them", () =>
    Effect.gen(function* () {
      const { local, service, middle } = yield* through
      const here = collect(local)
      const there = collect(service)
      local.write(Buffer.alloc(300_000, 1))
      local.end()
      yield* there.ended
      assert.strictEqual(there.bytes, 300_000)
      service.write(Buffer.alloc(70_000, 2))
      service.end()
      yield* here.ended
      assert.strictEqual(here.bytes, 70_000)
      assert.deepStrictEqual(yield* middle, { sent: 300_000, received: 70_000, reset: undefined })
    })
  )

  it.scopedLive("passes a reset through a splice, both ways", () =>
    Effect.gen(function* () {
      for (const side of ["local", "service"] as const) {
        const ends = yield* through
        const other = collect(side === "local" ? ends.service : ends.local)
        collect(ends[side])
        ends[side].reset(new StreamReset({ code: ResetCode.cancelled, reason: "test" }))
        assert.include((yield* other.closed)?.reason, "ECONNRESET")
        assert.isDefined((yield* ends.middle).reset)
      }
    })
  )

  it.scopedLive("stops a writer whose reader stalls, and goes on", () =>
    Effect.gen(function* () {
      const { local, service } = yield* through
      const here = collect(local)
      service.pause()
      let sent = 0
      for (;;) {
        const drains = here.drains
        while (local.write(Buffer.alloc(65_536))) sent += 65_536
        sent += 65_536
        const stalled = yield* Effect.timeoutTo(here.drained(drains), {
          duration: 200,
          onSuccess: () => false,
          onTimeout: () => true
        })
        if (stalled) break
      }
      const there = collect(service)
      service.resume()
      yield* there.until(sent)
      assert.isAbove(sent, SOCKET_SEND_QUEUE)
    })
  )

  it.scopedLive("resets both ends when a splice is interrupted", () =>
    Effect.gen(function* () {
      const { local, service, middle } = yield* through
      const here = collect(local)
      const there = collect(service)
      local.write(Buffer.of(1))
      yield* there.until(1)
      yield* Fiber.interrupt(middle)
      assert.isDefined(yield* here.closed)
      assert.isDefined(yield* there.closed)
    })
  )

  it.scopedLive("names what is wrong with a target", () =>
    Effect.gen(function* () {
      const free = yield* Effect.scoped(Tcp.listen({ host, port: 0, onConnection: () => {} }))
      const refused = yield* Effect.flip(Tcp.connect({ host, port: free.port, timeout: TARGET_DIAL_TIMEOUT }))
      assert.strictEqual(refused.code, ResetCode.refused)
      assert.strictEqual(refused.reason, `${host}:${free.port} refused the connection`)
    })
  )

  // A resolver that never answers must not fail this; one that does says that the name has no address.
  it.scopedLive(
    "names a target whose name has no address",
    () =>
      Effect.gen(function* () {
        const unknown = yield* Effect.flip(Tcp.connect({ host: "no-such-host.invalid", port: 1, timeout: 20_000 }))
        assert.include([ResetCode.unreachable, ResetCode.timeout], unknown.code)
        assert.match(unknown.reason, /^no-such-host\.invalid:1 (has no address|did not answer)/)
      }),
    30_000
  )

  it.scopedLive("says that a port is taken, and frees its own with the scope", () =>
    Effect.gen(function* () {
      const { port } = yield* connected
      const taken = yield* Effect.flip(Tcp.listen({ host, port, onConnection: () => {} }))
      assert.strictEqual(taken.code, "EADDRINUSE")
      assert.strictEqual(taken.message, `port ${port} is taken`)
      const again = yield* Effect.scoped(Tcp.listen({ host, port: 0, onConnection: () => {} }))
      yield* Effect.scoped(Tcp.listen({ host, port: again.port, onConnection: () => {} }))
    })
  )

  it.scopedLive("resets what a listener had accepted when its scope ends", () =>
    Effect.gen(function* () {
      const accepted = yield* Deferred.make<ByteStream>()
      const socket = yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* Tcp.listen({
            host,
            port: 0,
            onConnection: (stream) => void Deferred.unsafeDone(accepted, Effect.succeed(stream))
          })
          const client = Net.connect(server.port, host)
          yield* Deferred.await(accepted)
          return client
        })
      )
      const code = yield* Effect.async<string>((resume) => {
        socket.on("error", (error) => resume(Effect.succeed("code" in error ? String(error.code) : "")))
        socket.on("end", () => resume(Effect.succeed("end")))
        socket.resume()
      })
      assert.strictEqual(code, "ECONNRESET")
    })
  )
})
