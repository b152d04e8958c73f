/** How a program leaves: what it sent and its goodbye are to arrive, on slow paths too, and nobody waits for a dead one. */
import * as Http from "node:http"
import type { Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { WebSocketServer } from "ws"
import { CLOSE_TIMEOUT, LEAVE_LOOK, LEAVE_MOST } from "../../src/protocol/Limits.ts"
import { Dialer, layer as dialerLayer } from "../../src/transport/Dialer.ts"
import * as Wire from "../e2e/harness/Wire.ts"

const MESSAGE = Buffer.alloc(64 * 1024)

/** A peer that reads nothing until it is told to, and what it was sent. */
const reluctant = Effect.gen(function* () {
  let bytes = 0
  let code: number | undefined
  const sockets = new Set<Socket>()
  const http = Http.createServer()
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  http.on("connection", (socket) => sockets.add(socket.on("error", () => {})))
  http.on("upgrade", (request, socket, head) =>
    wss.handleUpgrade(request, socket, head, (ws) => {
      socket.pause()
      ws.on("message", (data: Buffer) => (bytes += data.length))
      ws.on("close", (closed) => (code = closed))
      ws.on("error", () => {})
    })
  )
  yield* Effect.acquireRelease(
    Effect.async<void>((resume) => void http.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        http.close()
      })
  )
  const address = http.address()
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    read: (isReading: boolean) => {
      for (const socket of sockets) {
        if (isReading) socket.resume()
        else socket.pause()
      }
    },
    bytes: () => bytes,
    code: () => code,
    /** Waits until it is over for the peer, too. */
    over: Effect.repeat(
      Effect.delay(
        Effect.sync(() => code),
        10
      ),
      { until: (closed) => closed !== undefined }
    )
  }
})

/** A program that has sent more than the system takes, and then lets go of its socket. */
const leaving = Effect.gen(function* () {
  const peer = yield* reluctant
  const program = yield* Scope.make()
  const { dial } = Context.get(yield* Layer.buildWithScope(dialerLayer, program), Dialer)
  const socket = yield* Scope.make()
  const wire = yield* Wire.make(peer.port)
  const carrier = yield* Scope.extend(dial(wire.url), socket)
  wire.freeze()
  let sent = 0
  while (carrier.send(MESSAGE)) {
    sent += MESSAGE.length
    yield* Effect.sleep(1)
  }
  sent += MESSAGE.length
  const begun = performance.now()
  const end = Effect.map(Scope.close(program, Exit.void), () => performance.now() - begun)
  return { peer, sent, wire, letGo: Scope.close(socket, Exit.void), end }
})

describe("a program that leaves", () => {
  it.scopedLive("waits until its goodbye has arrived, and what it had sent before", () =>
    Effect.gen(function* () {
      const { end, letGo, peer, sent, wire } = yield* leaving
      yield* letGo
      assert.strictEqual(peer.bytes(), 0, "nobody waits for that socket alone")
      peer.read(true)
      setTimeout(wire.thaw, 300)
      const took = yield* end
      assert.strictEqual(peer.bytes(), sent)
      yield* peer.over
      assert.deepStrictEqual([peer.bytes(), peer.code()], [sent, 1001])
      assert.isBelow(took, CLOSE_TIMEOUT)
    })
  )

  it.scopedLive("waits longer than CLOSE_TIMEOUT while its bytes leave", () =>
    Effect.gen(function* () {
      const { end, letGo, peer, sent, wire } = yield* leaving
      yield* letGo
      wire.slow(sent / 3)
      wire.thaw()
      peer.read(true)
      const took = yield* end
      assert.strictEqual(peer.bytes(), sent)
      yield* peer.over
      assert.isAtLeast(took, CLOSE_TIMEOUT)
      assert.isAtMost(took, LEAVE_MOST + 500)
      assert.deepStrictEqual([peer.bytes(), peer.code()], [sent, 1001])
    })
  )

  it.scopedLive("does not wait long for a path that is dead", () =>
    Effect.gen(function* () {
      const { end, letGo, peer } = yield* leaving
      yield* letGo
      assert.isAtMost(yield* end, CLOSE_TIMEOUT + 5 * LEAVE_LOOK)
      assert.isUndefined(peer.code())
    })
  )

  it.scopedLive("is gone at once when nothing waits", () =>
    Effect.gen(function* () {
      const peer = yield* reluctant
      const program = yield* Scope.make()
      const { dial } = Context.get(yield* Layer.buildWithScope(dialerLayer, program), Dialer)
      const socket = yield* Scope.make()
      yield* Scope.extend(dial(`ws://127.0.0.1:${peer.port}`), socket)
      peer.read(true)
      const begun = performance.now()
      yield* Scope.close(socket, Exit.void)
      yield* Scope.close(program, Exit.void)
      assert.isBelow(performance.now() - begun, LEAVE_LOOK)
      assert.strictEqual(peer.code(), 1001)
    })
  )
})
