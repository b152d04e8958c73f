import * as Http from "node:http"
import * as Net from "node:net"
import type { AddressInfo, Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { vi } from "vitest"
import { type WebSocket, WebSocketServer } from "ws"
import {
  CARRIER_HIGH_WATER,
  CARRIER_LIMIT,
  DIAL_TIMEOUT,
  DIALLED_DEAD_AFTER,
  INBOX_MESSAGES,
  PIECE_BYTES,
  REVOKED_RESET
} from "../../src/protocol/Limits.ts"
import type { Carrier, CarrierClosed } from "../../src/transport/Carrier.ts"
import { Dialer, layer as dialerLayer } from "../../src/transport/Dialer.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import * as WebSocketCarrier from "../../src/transport/WebSocketCarrier.ts"
import * as Conditions from "../support/Conditions.ts"

/** A WebSocket server on loopback; `accepted` gets a carrier for each connection. */
const server = (accepted: (carrier: Carrier) => void) =>
  rawServer((ws, socket) => accepted(WebSocketCarrier.make(ws, socket, "client", socket)))

const rawServer = (accepted: (ws: WebSocket, socket: Socket) => void) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly url: string; readonly close: () => void }>((resume) => {
        const http = Http.createServer((_request, response) => response.writeHead(403).end())
        const sockets = new Set<Socket>()
        const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false })
        http.on("connection", (socket) => sockets.add(socket))
        http.on("upgrade", (request, socket, head) => {
          if (request.url === "/refuse") return void socket.end("HTTP/1.1 403 Forbidden\r\n\r\n")
          wss.handleUpgrade(request, socket, head, (ws) => accepted(ws, request.socket))
        })
        http.listen(0, "127.0.0.1", () => {
          const { port } = http.address() as AddressInfo
          resume(
            Effect.succeed({
              url: `ws://127.0.0.1:${port}`,
              close: () => {
                for (const socket of sockets) socket.destroy()
                http.close()
              }
            })
          )
        })
      }),
      (running) => Effect.sync(running.close)
    ),
    (running) => running.url
  )

const webSockets = Effect.gen(function* () {
  let resolve: (carrier: Carrier) => void = () => {}
  const other = new Promise<Carrier>((done) => (resolve = done))
  const url = yield* server((carrier) => resolve(carrier))
  const { dial } = yield* Dialer
  const near = yield* dial(url)
  return [near, yield* Effect.promise(() => other)] as const
}).pipe(Effect.provide(dialerLayer))

const kinds = [
  ["WebSocket", webSockets],
  ["memory", Effect.sync(() => MemoryCarrier.pair())]
] as const

/** Keeps what arrives; `next` waits until so many messages have. */
const receive = (carrier: Carrier) => {
  const messages: Array<Uint8Array | string> = []
  const { changed, when } = Conditions.make()
  let how: CarrierClosed | undefined
  let drains = 0
  carrier.receive({
    binary: (message) => (messages.push(message), changed()),
    text: (message) => (messages.push(message), changed()),
    drain: () => (drains++, changed()),
    closed: (reason) => ((how = reason), changed())
  })
  return {
    messages,
    until: (count: number) => when(() => messages.length >= count),
    drained: when(() => drains > 0),
    closed: Effect.map(
      when(() => how !== undefined),
      () => how
    )
  }
}

describe.each(kinds)("a %s carrier", (_name, pair) => {
  it.scopedLive("delivers text and binary whole and in order", () =>
    Effect.gen(function* () {
      const [left, right] = yield* pair
      for (let count = 0; count < 100; count++) {
        left.sendText(`text ${count}`)
        left.send(Buffer.alloc(count * 300, count))
      }
      const got = receive(right)
      yield* got.until(200)
      got.messages.forEach((message, index) => {
        if (index % 2 === 0) assert.strictEqual(message, `text ${index / 2}`)
        else assert.isTrue(Buffer.alloc(((index - 1) / 2) * 300, (index - 1) / 2).equals(message as Uint8Array))
      })
    })
  )

  it.scopedLive("that is revoked tells a peer that reads why, after what was sent before", () =>
    Effect.gen(function* () {
      const [left, right] = yield* pair
      const got = receive(left)
      right.sendText("before")
      right.revoke(1008, "access ended")
      right.sendText("after")
      const how = yield* got.closed
      assert.deepStrictEqual([how?.code, how?.reason, got.messages], [1008, "access ended", ["before"]])
    })
  )

  it.scopedLive("that is revoked keeps from a peer that does not read whatever had not reached it", () =>
    Effect.gen(function* () {
      const [left, right] = yield* pair
      const sender = receive(right)
      let sent = 1
      while (right.send(Buffer.alloc(64 * 1024))) sent++
      right.revoke(1008, "access ended")
      yield* sender.closed
      yield* Effect.sleep(2 * REVOKED_RESET)
      const got = receive(left)
      yield* got.closed
      assert.isBelow(got.messages.length, sent)
      assert.strictEqual(right.buffered, 0)
    })
  )

  it.scopedLive("makes a sender wait while the receiver does not read, and tells it when there is room", () =>
    Effect.gen(function* () {
      const [left, right] = yield* pair
      const sender = receive(left)
      const message = Buffer.alloc(64_000)
      let sent = 0
      while (left.send(message)) {
        assert.isBelow(++sent, 1_000, "the carrier takes without bound")
        yield* Effect.yieldNow({ priority: 1 }).pipe(Effect.andThen(Effect.sleep(0)))
      }
      assert.isAtMost(left.buffered, CARRIER_HIGH_WATER + message.length + 100)
      const got = receive(right)
      yield* sender.drained
      yield* got.until(sent + 1)
      assert.isBelow(left.buffered, CARRIER_HIGH_WATER)
    })
  )

  it.scopedLive("ends when its sender never waits for a receiver that does not read", () =>
    Effect.gen(function* () {
      const [left, right] = yield* pair
      const here = receive(left)
      right.pause()
      const message = Buffer.alloc(60_000)
      for (let sent = 0; !left.isClosed; sent += message.length) {
        assert.isBelow(sent, 64 * CARRIER_LIMIT, "the carrier holds without bound")
        left.send(message)
        assert.isAtMost(left.buffered, CARRIER_LIMIT + message.length + 100)
        if (sent % (60_000 * 50) === 0) yield* Effect.sleep(0)
      }
      assert.strictEqual((yield* here.closed)?.code, 1006)
    })
  )

  it.scopedLive("carries the code and reason of a close", () =>
    Effect.gen(function* () {
      const [left, right] = yield* pair
      const there = receive(right)
      const here = receive(left)
      left.send(Buffer.of(1))
      left.close(1008, `because ${"é".repeat(100)}`)
      const how = yield* there.closed
      assert.strictEqual(how?.code, 1008)
      assert.match(how?.reason ?? "", /^because é+$/)
      assert.strictEqual(there.messages.length, 1)
      yield* here.closed
      assert.isTrue(left.isClosed && right.isClosed)
      assert.isTrue(left.send(Buffer.of(2)))
      assert.strictEqual((yield* receive(right).closed)?.code, 1008)
    })
  )

  it.scopedLive("reports a vanished peer as 1006", () =>
    Effect.gen(function* () {
      const [left, right] = yield* pair
      const there = receive(right)
      left.terminate()
      assert.strictEqual((yield* there.closed)?.code, 1006)
    })
  )

  it.scopedLive("hands an inbox's rest over without losing a message", () =>
    Effect.gen(function* () {
      const [left, right] = yield* pair
      const inbox = Inbox.make(right)
      const count = 3 * INBOX_MESSAGES
      for (let index = 0; index < count; index++) left.sendText(String(index))
      for (let index = 0; index < INBOX_MESSAGES + 3; index++) {
        assert.deepStrictEqual(yield* inbox.take, { _tag: "Text", text: String(index) })
      }
      const rest: Array<string> = []
      const done = yield* Effect.async<void>((resume) => {
        inbox.handOver({
          binary: () => {},
          text: (text) => {
            rest.push(text)
            if (text === String(count - 1)) resume(Effect.void)
          },
          drain: () => {},
          closed: () => {}
        })
      })
      assert.isUndefined(done)
      assert.deepStrictEqual(
        rest.map(Number),
        Array.from({ length: count - INBOX_MESSAGES - 3 }, (_, index) => index + INBOX_MESSAGES + 3)
      )
    })
  )

  it.scopedLive("ends an inbox after its last message", () =>
    Effect.gen(function* () {
      const [left, right] = yield* pair
      const inbox = Inbox.make(right)
      left.sendText("last")
      left.close(1001, "bye")
      assert.strictEqual((yield* inbox.closed).reason, "bye")
      assert.deepStrictEqual(yield* inbox.take, { _tag: "Text", text: "last" })
      assert.strictEqual((yield* Effect.flip(inbox.take)).code, 1001)
    })
  )
})

describe("a WebSocket carrier", () => {
  it.scopedLive("counts what small messages cost beside their bytes, which is most of it", () =>
    Effect.gen(function* () {
      const [left, right] = yield* webSockets
      receive(left)
      right.pause()
      // What the system takes is not ours.
      const large = Buffer.alloc(16_000)
      while (left.buffered === 0) {
        left.send(large)
        yield* Effect.sleep(0)
      }
      let waiting = 0
      while (left.send(Buffer.alloc(1))) waiting++
      // A message is two writes: its header, and itself.
      assert.isAtMost(waiting, CARRIER_HIGH_WATER / (2 * PIECE_BYTES))
      assert.isAtLeast(waiting, CARRIER_HIGH_WATER / (4 * PIECE_BYTES))
    })
  )
})

describe("a WebSocket that was dialled", () => {
  /** How it ends when the other end does that, so many milliseconds after it was opened. */
  const ends = (after: number, act: (ws: WebSocket, socket: Socket) => void) =>
    Effect.gen(function* () {
      const real = performance.now.bind(performance)
      let offset = 0
      const clock = vi.spyOn(performance, "now").mockImplementation(() => real() + offset)
      yield* Effect.addFinalizer(() => Effect.sync(() => clock.mockRestore()))
      let other: readonly [WebSocket, Socket] | undefined
      const url = yield* rawServer((ws, socket) => (other = [ws, socket]))
      const { dial } = yield* Dialer
      const got = receive(yield* dial(url))
      offset = after
      if (other !== undefined) act(...other)
      return { url, how: yield* got.closed }
    }).pipe(Effect.provide(dialerLayer))

  it.scopedLive("says that nothing comes back when nothing ever came, and it was asked", () =>
    Effect.gen(function* () {
      const { how, url } = yield* ends(DIALLED_DEAD_AFTER, (_ws, socket) => socket.destroy())
      assert.strictEqual(
        how?.message,
        "nothing comes back: something in between takes WebSockets and does not pass them on; " +
          `use wss://, or have them allowed there for ${new URL(url).host}`
      )
    })
  )

  it.scopedLive("says so at once when what comes is no WebSocket's", () =>
    Effect.gen(function* () {
      const { how } = yield* ends(0, (_ws, socket) => void socket.write("HTTP/1.1 502 Bad Gateway\r\n\r\n"))
      assert.match(how?.message ?? "", /^nothing comes back: something in between/)
    })
  )

  it.scopedLive("says nothing of the kind when it is only lost", () =>
    Effect.gen(function* () {
      const soon = yield* ends(0, (_ws, socket) => socket.destroy())
      assert.strictEqual(soon.how?.message, "connection closed (code 1006)")
      const heard = yield* ends(DIALLED_DEAD_AFTER, (ws, socket) => {
        ws.ping()
        setTimeout(() => socket.destroy(), 50)
      })
      assert.strictEqual(heard.how?.message, "connection closed (code 1006)")
    })
  )
})

describe("Dialer", () => {
  const refusal = (url: string) =>
    Effect.flatMap(Dialer, ({ dial }) => Effect.flip(dial(url))).pipe(Effect.provide(dialerLayer))

  it.scopedLive("says what to check when a hub cannot be reached", () =>
    Effect.gen(function* () {
      const url = yield* server(() => {})
      const closed = yield* Effect.scoped(server(() => {}))
      assert.include((yield* refusal(closed)).message, "nothing listens there")
      assert.include((yield* refusal(`${url}/refuse`)).message, "HTTP 403")
      assert.include((yield* refusal("barn")).message, "not a hub address")
      assert.include((yield* refusal(url.replace("ws:", "wss:"))).message, "does not speak TLS")
    })
  )

  it.effect("gives up on a server that answers a byte at a time", () =>
    Effect.gen(function* () {
      const dripping = yield* Deferred.make<void>()
      const port = yield* Effect.map(
        Effect.acquireRelease(
          Effect.async<Net.Server>((resume) => {
            const server = Net.createServer((socket) => {
              socket.on("error", () => {})
              socket.on("data", () => {
                socket.write("HTTP/1.1 101")
                Deferred.unsafeDone(dripping, Effect.void)
              })
            })
            server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
          }),
          (server) => Effect.sync(() => server.close())
        ),
        (server) => (server.address() as AddressInfo).port
      )
      const dialling = yield* Effect.fork(refusal(`ws://127.0.0.1:${port}`))
      yield* Deferred.await(dripping)
      yield* TestClock.adjust(DIAL_TIMEOUT)
      assert.include((yield* dialling).message, "no answer within 15 s")
    }).pipe(Effect.scoped)
  )

  it.effect("closes what it opened with the scope", () =>
    Effect.gen(function* () {
      const outer = yield* Scope.make()
      let resolve: (carrier: Carrier) => void = () => {}
      const other = new Promise<Carrier>((done) => (resolve = done))
      const url = yield* Scope.extend(
        server((carrier) => resolve(carrier)),
        outer
      )
      const inner = yield* Scope.make()
      const context = yield* Layer.buildWithScope(dialerLayer, outer)
      yield* Effect.flatMap(Dialer, ({ dial }) => dial(url)).pipe(Scope.extend(inner), Effect.provide(context))
      const there = receive(yield* Effect.promise(() => other))
      yield* Scope.close(inner, Exit.void)
      assert.strictEqual((yield* there.closed)?.code, 1001)
      yield* Scope.close(outer, Exit.void)
    })
  )
})
