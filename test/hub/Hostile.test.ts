/** Peers that have not authenticated, and mean no good: each costs a bounded amount and is dropped at its deadline. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as Logger from "effect/Logger"
import {
  HTTP_BODY_BYTES,
  MESSAGE_BYTES,
  MESSAGE_FRAGMENTS,
  TURNED_AWAY_LOG,
  UNAUTHENTICATED_MESSAGE_BYTES,
  UNAUTHENTICATED_MESSAGES,
  UNAUTHENTICATED_SOCKET_BYTES
} from "../../src/protocol/Limits.ts"
import { logLines } from "../support/logLines.ts"
import { metric } from "../support/metrics.ts"
import { turn } from "../support/turn.ts"
import { agentOf, dial, frame, get, register, session, startHub, tcp } from "./harness.ts"

const upgrade = (more = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n") =>
  `GET / HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n${more}\r\n`

const repeat = <A, E, R>(times: number, effect: Effect.Effect<A, E, R>) =>
  Effect.all(Array.from({ length: times }, () => effect))

/** Gives in once the hub has seen that many sockets come or go. */
const untilUnauthenticated = (
  hub: { readonly counts: Effect.Effect<{ readonly unauthenticated: number }> },
  count: number
) => Effect.repeat(Effect.zipRight(turn, hub.counts), { until: ({ unauthenticated }) => unauthenticated === count })

const stillServes = (hub: { readonly url: string }) =>
  Effect.gen(function* () {
    const { status } = yield* get(hub, "/healthz")
    assert.strictEqual(status, 200)
    const { client, joined } = yield* session(hub, yield* agentOf(hub))
    client.frame(frame(Buffer.from("served")))
    assert.deepStrictEqual(yield* joined.binary, frame(Buffer.from("served"), 7))
  })

describe("before authentication", () => {
  it.scoped("whoever says nothing of use is dropped at the deadline", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const silent = yield* tcp(hub)
      const slowHeaders = yield* tcp(hub)
      slowHeaders.socket.write("GET /api/status HTTP/1.1\r\nHost: hub\r\nX-Slow: ")
      const halfUpgrade = yield* tcp(hub)
      halfUpgrade.socket.write(upgrade().slice(0, -2))
      const quiet = yield* dial(hub)
      const dripping = yield* dial(hub)
      dripping.ws.send('{"type":"reg', { fin: false })
      const babbling = yield* dial(hub)
      babbling.say({ type: "from-the-future" })
      yield* babbling.settled
      yield* untilUnauthenticated(hub, 6)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual((yield* hub.counts).unauthenticated, 6)
      slowHeaders.socket.write("a")
      babbling.say({ type: "from-the-future" })
      yield* TestClock.adjust("2 seconds")
      for (const { ended } of [silent, slowHeaders, halfUpgrade]) yield* ended
      for (const peer of [quiet, dripping, babbling]) assert.strictEqual((yield* peer.closed).code, 1006)
      yield* untilUnauthenticated(hub, 0)
      yield* stillServes(hub)
    })
  )

  it.scoped("whoever is authenticated has no deadline", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      const { client, joined } = yield* session(hub, agent)
      yield* TestClock.adjust("40 seconds")
      for (const peer of [agent, client, joined]) yield* peer.settled
    })
  )

  it.scoped("a message above the bound closes the socket; once registered a longer one passes", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const padded = (bytes: number) => register({ padding: "p".repeat(bytes) })
      const large = yield* dial(hub)
      large.say(padded(UNAUTHENTICATED_MESSAGE_BYTES))
      assert.strictEqual((yield* large.closed).code, 1009)
      const fragmented = yield* dial(hub)
      for (let i = 0; i < 20; i++) fragmented.ws.send("x".repeat(4_096), { fin: false })
      assert.strictEqual((yield* fragmented.closed).code, 1009)
      const crumbs = yield* dial(hub)
      for (let i = 0; i <= MESSAGE_FRAGMENTS; i++) crumbs.ws.send("x", { fin: false })
      assert.strictEqual((yield* crumbs.closed).code, 1008)
      const agent = yield* agentOf(hub)
      agent.say(padded(UNAUTHENTICATED_MESSAGE_BYTES * 2))
      assert.strictEqual((yield* agent.text)["type"], "registered")
      agent.say(padded(MESSAGE_BYTES))
      assert.strictEqual((yield* agent.closed).code, 1009)
    })
  )

  it.scoped("whoever says much before it says what it is is turned away", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const talkative = yield* dial(hub)
      for (let i = 0; i < UNAUTHENTICATED_MESSAGES - 1; i++) talkative.say({ type: "wg-pubkey", wgPubKey: "none" })
      talkative.say(register())
      assert.strictEqual((yield* talkative.text)["type"], "registered")
      const inMessages = yield* dial(hub)
      for (let i = 0; i < UNAUTHENTICATED_MESSAGES; i++) inMessages.say({ type: "keepalive" })
      inMessages.say(register())
      const inBytes = yield* dial(hub)
      const half = "x".repeat(UNAUTHENTICATED_MESSAGE_BYTES / 2)
      for (let i = 0; i < 2; i++) inBytes.say({ type: "ready", padding: half })
      for (const peer of [inMessages, inBytes]) {
        assert.match(String((yield* peer.text)["message"]), /^too much was said before register/)
        assert.strictEqual((yield* peer.closed).code, 1008)
      }
      yield* untilUnauthenticated(hub, 0)
    })
  )

  it.scoped("whoever sends much is cut, whatever it sends: pings, answers nobody asked for, parts of a message", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const control = (opcode: number) =>
        Buffer.concat([Buffer.from([0x80 | opcode, 0xfd, 0, 0, 0, 0]), Buffer.alloc(125)])
      const part = (opcode: number) => Buffer.from([opcode, 0x81, 0, 0, 0, 0, 0x78])
      for (const piece of [control(9), control(10), part(0)]) {
        const peer = yield* tcp(hub)
        peer.socket.write(upgrade())
        peer.socket.write(part(1))
        const sent = Math.ceil(UNAUTHENTICATED_SOCKET_BYTES / piece.length)
        peer.socket.write(Buffer.concat(Array.from({ length: sent }, () => piece)))
        yield* peer.ended
      }
      yield* stillServes(hub)
    })
  )

  it.scoped("a message nested deeply is refused as any that is none, and strangers write no log", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.make<unknown, void>(
        ({ logLevel, message }) => void lines.push(`${logLevel.label} ${message}`)
      )
      const hub = yield* startHub().pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      const deep = yield* dial(hub)
      deep.ws.send(`{"type":"register","machineName":${"[".repeat(20_000)}${"]".repeat(20_000)}}`)
      assert.strictEqual((yield* deep.closed).code, 1002)
      for (const stranger of [
        register({ token: "wrong" }),
        { type: "register" },
        { type: "connect", token: "wrong" },
        { type: "session-join", machineId: "barn", sessionId: "0".repeat(40) }
      ]) {
        const peer = yield* dial(hub)
        peer.say(stranger)
        yield* peer.text
        yield* peer.closed
      }
      assert.deepStrictEqual(lines, [])
      const known = yield* dial(hub)
      known.say(register({ token: "alice-token" }))
      yield* known.text
      yield* known.closed
      assert.deepStrictEqual(lines, ["WARN turned away"])
    })
  )

  it.scoped("a refused socket that does not go is ended by the hub", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const peer = yield* tcp(hub)
      peer.socket.write(upgrade())
      // A masked text frame with "{" in it: no JSON.
      peer.socket.write(Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x7b]))
      const received = yield* peer.ended
      assert.include(received, "101 Switching Protocols")
      assert.include(received, "Expected JSON for first message")
    })
  )

  it.scoped("a bad handshake leaves nothing behind, reset or not", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const peers = [
        upgrade(""),
        upgrade("Sec-WebSocket-Key: short\r\n"),
        upgrade().replace("Version: 13", "Version: 99"),
        upgrade().replace("GET /", "POST /"),
        upgrade().replace("Upgrade: websocket", "Upgrade: h2c"),
        "\u0016\u0003\u0001 this is TLS",
        "GET / HTTP/1.1\r\n\r\n",
        "GET //x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n",
        `GET / HTTP/1.1\r\nHost: h\r\nX: ${"h".repeat(20_000)}\r\n\r\n`
      ]
      for (const said of peers) {
        const polite = yield* tcp(hub)
        polite.socket.end(said)
        const answer = yield* polite.ended
        assert.notInclude(answer, "101 ")
        const rude = yield* tcp(hub)
        rude.socket.write(said, () => rude.socket.resetAndDestroy())
      }
      for (const path of ["//", "http://[/", "/%", "*"]) {
        const odd = yield* tcp(hub)
        odd.socket.write(upgrade().replace("GET /", `GET ${path}`), () => odd.socket.resetAndDestroy())
      }
      const early = yield* tcp(hub)
      early.socket.write(upgrade(), () => early.socket.resetAndDestroy())
      yield* untilUnauthenticated(hub, 0)
      yield* stillServes(hub)
    })
  )

  it.scoped("one address holds so many sockets and no more, and authenticated ones do not count", () =>
    Effect.gen(function* () {
      const hub = yield* startHub({ guard: { sockets: 100, perAddress: 4, timeout: 10_000 } })
      for (let i = 0; i < 10; i++) yield* agentOf(hub, { machineName: `m${i}`, token: "owner-token" })
      const held = yield* repeat(4, tcp(hub))
      yield* untilUnauthenticated(hub, 4)
      const before = yield* metric("tela_hub_refused_total", "address_strangers")
      for (const more of yield* repeat(20, tcp(hub))) {
        assert.match(
          yield* more.ended,
          /^HTTP\/1\.1 503 [^]*Retry-After: 10\r\n[^]*too many connections from your address\n$/
        )
      }
      assert.strictEqual((yield* metric("tela_hub_refused_total", "address_strangers")) - before, 20)
      assert.isTrue(held.every(({ socket }) => !socket.destroyed))
      held[0]?.socket.destroy()
      yield* untilUnauthenticated(hub, 3)
      yield* agentOf(hub, { machineName: "one-more", token: "owner-token" })
    })
  )

  it.scoped("whoever asks on a socket for which there is no place is told why, and the log says so once a minute", () =>
    Effect.gen(function* () {
      const log = yield* logLines
      const hub = yield* startHub({ guard: { sockets: 100, perAddress: 1, timeout: 10_000 } }).pipe(
        Effect.provide(log.layer)
      )
      yield* tcp(hub)
      yield* untilUnauthenticated(hub, 1)
      const asked = yield* get(hub, "/healthz")
      assert.deepStrictEqual(
        [asked.status, asked.headers.get("retry-after"), asked.body],
        [503, "10", "too many connections from your address\n"]
      )
      const { message } = yield* Effect.flip(dial(hub))
      assert.match(message, /503/)
      yield* TestClock.adjust(TURNED_AWAY_LOG)
      assert.match(yield* log.until(/turned away/), /"ofAddresses":2,"inAll":0,"last":"127\.0\.0\.1"/)
    })
  )

  it.scoped("all addresses together hold so many sockets and no more", () =>
    Effect.gen(function* () {
      const hub = yield* startHub({ guard: { sockets: 5, perAddress: 1_000, timeout: 10_000 } })
      yield* repeat(5, tcp(hub))
      yield* untilUnauthenticated(hub, 5)
      const before = yield* metric("tela_hub_refused_total", "strangers")
      for (const more of yield* repeat(50, tcp(hub))) assert.match(yield* more.ended, /^HTTP\/1\.1 503 /)
      assert.strictEqual((yield* metric("tela_hub_refused_total", "strangers")) - before, 50)
      assert.strictEqual((yield* hub.counts).unauthenticated, 5)
      yield* TestClock.adjust("11 seconds")
      yield* untilUnauthenticated(hub, 0)
      yield* stillServes(hub)
    })
  )

  it.scoped("behind a trusted proxy it is the forwarded address that counts; from others that header is ignored", () =>
    Effect.gen(function* () {
      const guard = { sockets: 100, perAddress: 2, timeout: 10_000 }
      const from = (address: string) => ({ headers: { "x-forwarded-for": address } })
      const proxied = yield* startHub({ trustedProxies: ["127.0.0.0/8"], guard })
      yield* repeat(2, dial(proxied, "/", from("10.9.9.9, 203.0.113.1, 127.0.0.2")))
      const third = yield* Effect.flip(dial(proxied, "/", from("203.0.113.1")))
      assert.match(third.message, /503/)
      yield* repeat(2, dial(proxied, "/", from("203.0.113.2")))
      const direct = yield* startHub({ guard })
      yield* repeat(2, dial(direct, "/", from("203.0.113.1")))
      yield* Effect.flip(dial(direct, "/", from("203.0.113.2")))
    })
  )

  it.scoped("behind a trusted proxy HTTP requests count for the forwarded address too", () =>
    Effect.gen(function* () {
      const guard = { sockets: 100, perAddress: 2, timeout: 10_000 }
      const hub = yield* startHub({ trustedProxies: ["127.0.0.0/8"], guard })
      const slow = (address: string) =>
        Effect.tap(tcp(hub), ({ socket }) =>
          Effect.sync(() => {
            const head = `POST / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: ${address}\r\nContent-Length: 1000\r\n\r\n`
            socket.write(`${head}x`)
          })
        )
      const held = yield* repeat(2, slow("2001:db8::1"))
      yield* untilUnauthenticated(hub, 2)
      const third = yield* slow("2001:db8::2")
      assert.match(yield* third.ended, /^HTTP\/1\.1 503 [^]*too many connections from your address/)
      yield* Effect.flip(dial(hub, "/", { headers: { "x-forwarded-for": "2001:db8::3" } }))
      yield* dial(hub, "/", { headers: { "x-forwarded-for": "2001:db8:0:1::1" } })
      assert.isTrue(held.every(({ socket }) => !socket.destroyed))
    })
  )

  it.scoped("HTTP connections are bounded too: kept-alive ones end, long bodies are answered 413", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const idle = yield* tcp(hub)
      idle.socket.write("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
      yield* idle.ended
      assert.match(idle.received(), /^HTTP\/1\.1 200/)

      const announced = yield* tcp(hub)
      announced.socket.write(`POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1000000000\r\n\r\n`)
      announced.socket.end("x".repeat(200_000))
      assert.match(yield* announced.ended, /^HTTP\/1\.1 413 /)

      const chunked = yield* tcp(hub)
      chunked.socket.write("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
      const chunk = "x".repeat(HTTP_BODY_BYTES / 2)
      for (let i = 0; i < 3; i++) chunked.socket.write(`${chunk.length.toString(16)}\r\n${chunk}\r\n`)
      chunked.socket.end("0\r\n\r\n")
      assert.match(yield* chunked.ended, /^HTTP\/1\.1 413 /)

      const small = yield* tcp(hub)
      small.socket.end("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
      assert.match(yield* small.ended, /^HTTP\/1\.1 405 /)
    })
  )
})
