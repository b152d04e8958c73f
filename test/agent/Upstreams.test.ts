import { assert, describe, it } from "@effect/vitest"
import * as Net from "node:net"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import { vi } from "vitest"
import * as Upstreams from "../../src/agent/Upstreams.ts"
import { UPSTREAM_BIND_RETRY, UPSTREAM_CONNECTIONS } from "../../src/protocol/Limits.ts"
import type { UpstreamConfig } from "../../src/store/UpstreamConfig.ts"
import { logLines } from "../support/logLines.ts"
import { freshPort, rawTarget } from "./gateway/gateway.ts"

const to = (target: number, over: Partial<UpstreamConfig> = {}): UpstreamConfig => ({
  name: "db",
  host: undefined,
  port: 0,
  target: { host: "127.0.0.1", port: target },
  ...over
})

const portOf = (upstreams: Upstreams.Upstreams, index = 0) =>
  Effect.map(Effect.fromNullable(upstreams.ports()[index]), (port) => port)

const connect = (port: number, host = "127.0.0.1") =>
  Effect.acquireRelease(
    Effect.async<Net.Socket, Error>((resume) => {
      const socket = Net.connect({ port, host, allowHalfOpen: true })
      socket.once("error", (error) => resume(Effect.fail(error)))
      socket.once("connect", () => {
        socket.on("error", () => {})
        resume(Effect.succeed(socket))
      })
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** How a connection ends: everything it gave, and then `end`, or why it was reset. */
const ending = (socket: Net.Socket) =>
  Effect.async<string>((resume) => {
    let got = ""
    socket.on("data", (chunk) => (got += String(chunk)))
    socket.once("end", () => resume(Effect.succeed(`${got}|end`)))
    socket.once("error", (error) => resume(Effect.succeed(`${got}|${error.message}`)))
  })

/** The same for a new connection; one that is reset at once may never have been seen to stand. */
const outcome = (port: number) =>
  Effect.scoped(Effect.flatMap(connect(port), ending)).pipe(Effect.catchAll(({ message }) => Effect.succeed(message)))

describe("Upstreams", () => {
  it.scopedLive("forward bytes both ways, and each direction's end on its own", () =>
    Effect.gen(function* () {
      // Answers only when it has read to the end.
      const target = yield* rawTarget((socket) => {
        let got = ""
        socket.on("data", (chunk) => (got += String(chunk)))
        socket.on("end", () => socket.end(`got ${got}`))
      })
      const upstreams = yield* Upstreams.make([to(target)])
      const socket = yield* connect(yield* portOf(upstreams))
      socket.end("what is asked")
      assert.strictEqual(yield* ending(socket), "got what is asked|end")
    })
  )

  it.scopedLive("listen on loopback alone, unless told", () =>
    Effect.gen(function* () {
      const log = yield* logLines
      const target = yield* rawTarget((socket) => socket.end("x"))
      const upstreams = yield* Upstreams.make([to(target), to(target, { host: "0.0.0.0", name: "open" })]).pipe(
        Effect.provide(log.layer)
      )
      const port = yield* portOf(upstreams)
      assert.strictEqual(yield* ending(yield* connect(port, "127.0.0.1")), "x|end")
      // Every 127.x is this machine, and only a listener on all addresses has the others.
      assert.include((yield* Effect.flip(connect(port, "127.0.0.2"))).message, "ECONNREFUSED")
      assert.strictEqual(yield* ending(yield* connect(yield* portOf(upstreams, 1), "127.0.0.2")), "x|end")
      assert.deepStrictEqual(yield* log.taken, [
        `upstream db (localhost:0 to 127.0.0.1:${target}) is up`,
        `upstream open (0.0.0.0:0 to 127.0.0.1:${target}) is up, for whoever reaches this machine on that address`
      ])
    })
  )

  it.scopedLive("a reset on one side is one on the other", () =>
    Effect.gen(function* () {
      const accepted = yield* Queue.unbounded<Net.Socket>()
      const target = yield* rawTarget((socket) => void accepted.unsafeOffer(socket))
      const upstreams = yield* Upstreams.make([to(target)])
      const port = yield* portOf(upstreams)
      const first = yield* connect(port)
      const firstEnding = yield* Effect.fork(ending(first))
      ;(yield* Queue.take(accepted)).resetAndDestroy()
      assert.strictEqual(yield* Fiber.join(firstEnding), "|read ECONNRESET")
      const second = yield* connect(port)
      const other = yield* Effect.fork(ending(yield* Queue.take(accepted)))
      yield* Effect.yieldNow()
      second.resetAndDestroy()
      assert.strictEqual(yield* Fiber.join(other), "|read ECONNRESET")
    })
  )

  it.scopedLive("a target that cannot be reached resets, and is said once; so is that it works again", () =>
    Effect.gen(function* () {
      const log = yield* logLines
      const dead = yield* freshPort
      const upstreams = yield* Upstreams.make([to(dead)]).pipe(Effect.provide(log.layer))
      const port = yield* portOf(upstreams)
      for (let i = 0; i < 3; i++) assert.match(yield* outcome(port), /ECONNRESET/)
      const server = Net.createServer((socket) => socket.on("error", () => {}).end("back"))
      yield* Effect.async<void>((resume) => void server.listen(dead, "127.0.0.1", () => resume(Effect.void)))
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      assert.strictEqual(yield* ending(yield* connect(port)), "back|end")
      const what = `upstream db (localhost:0 to 127.0.0.1:${dead})`
      assert.deepStrictEqual((yield* log.taken).slice(1), [
        `${what} fails: 127.0.0.1:${dead} refused the connection`,
        `${what} works again`
      ])
    })
  )

  it.scopedLive("a port that is taken is said, tried again, and taken when it is free", () =>
    Effect.gen(function* () {
      const log = yield* logLines
      const target = yield* rawTarget((socket) => socket.end("x"))
      const holding = yield* Scope.make()
      const taken = yield* Scope.extend(
        rawTarget(() => {}),
        holding
      )
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.useRealTimers()))
      const upstreams = yield* Upstreams.make([to(target, { port: taken })]).pipe(Effect.provide(log.layer))
      assert.deepStrictEqual(upstreams.ports(), [undefined])
      const what = `upstream db (localhost:${taken} to 127.0.0.1:${target})`
      assert.strictEqual(
        yield* log.until(/./),
        `${what} is down: port ${taken} is taken; it is tried again every ${UPSTREAM_BIND_RETRY / 1000} s`
      )
      yield* Scope.close(holding, Exit.void)
      vi.advanceTimersByTime(UPSTREAM_BIND_RETRY)
      assert.strictEqual(yield* log.until(/./), `${what} is up`)
      assert.strictEqual(yield* ending(yield* connect(taken)), "x|end")
    })
  )

  it.scopedLive("with another list, what stays keeps its connections, and what goes makes room", () =>
    Effect.gen(function* () {
      const target = yield* rawTarget((socket) => socket.pipe(socket))
      const other = yield* rawTarget((socket) => socket.end("other"))
      const upstreams = yield* Upstreams.make([to(target, { name: "stays" }), to(target, { name: "goes" })])
      const [stays, goes] = [yield* portOf(upstreams), yield* portOf(upstreams, 1)]
      const kept = yield* connect(stays)
      const lost = yield* connect(goes)
      const echoed = (text: string) =>
        Effect.async<string>((resume) => {
          kept.once("data", (chunk) => resume(Effect.succeed(String(chunk))))
          kept.write(text)
        })
      assert.strictEqual(yield* echoed("1"), "1")
      const losing = yield* Effect.fork(ending(lost))
      yield* upstreams.update([to(other, { port: goes }), to(target, { name: "stays" })])
      assert.match(yield* Fiber.join(losing), /ECONNRESET/)
      assert.deepStrictEqual(upstreams.ports(), [goes, stays])
      assert.strictEqual(yield* echoed("2"), "2")
      assert.strictEqual(yield* ending(yield* connect(goes)), "other|end")
    })
  )

  it.scopedLive("only so many connections at a time", () =>
    Effect.gen(function* () {
      const log = yield* logLines
      const accepted = yield* Deferred.make<void>()
      let count = 0
      const target = yield* rawTarget(() => {
        if (++count === UPSTREAM_CONNECTIONS) Deferred.unsafeDone(accepted, Effect.void)
      })
      const upstreams = yield* Upstreams.make([to(target)]).pipe(Effect.provide(log.layer))
      const port = yield* portOf(upstreams)
      const open = Array.from({ length: UPSTREAM_CONNECTIONS }, () =>
        Net.connect(port, "127.0.0.1").on("error", () => {})
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => open.forEach((socket) => socket.destroy())))
      yield* Deferred.await(accepted)
      assert.match(yield* outcome(port), /ECONNRESET/)
      assert.include(yield* log.until(/refused/), `no more than ${UPSTREAM_CONNECTIONS} connections at a time`)
    })
  )
})
