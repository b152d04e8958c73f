import { assert, describe, it } from "@effect/vitest"
import type * as Http from "node:http"
import type * as Net from "node:net"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { WebSocket, WebSocketServer } from "ws"
import { turn } from "../../support/turn.ts"
import * as G from "./gateway.ts"

/** A target that upgrades every connection, and says to each peer what it was asked. */
const socketTarget = (each: (peer: WebSocket, request: Http.IncomingMessage) => void) =>
  G.target(G.mirror, (server) => {
    const wss = new WebSocketServer({ server, handleProtocols: (offered) => [...offered].at(-1) ?? false })
    wss.on("connection", (peer, request) => {
      peer.on("error", () => {})
      each(peer, request)
    })
  })

const echo = () => socketTarget((peer) => peer.on("message", (data, isBinary) => peer.send(data, { binary: isBinary })))

/** A client's end, and what it receives: texts, and how it closed. */
const dial = (port: number, path: string, options: { readonly protocols?: Array<string> } = {}) =>
  Effect.gen(function* () {
    const heard = yield* Queue.unbounded<string>()
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, options.protocols ?? [], { perMessageDeflate: true })
    yield* Effect.addFinalizer(() => Effect.sync(() => socket.terminate()))
    socket.on("message", (data) => heard.unsafeOffer(String(data)))
    socket.on("close", (code, reason) => heard.unsafeOffer(`closed ${code} ${String(reason)}`))
    yield* Effect.async<void, Error>((resume) => {
      socket.once("open", () => resume(Effect.void))
      socket.once("error", (error) => resume(Effect.fail(error)))
    })
    socket.on("error", () => {})
    return { socket, heard: Queue.take(heard) }
  })

describe("a WebSocket through the gateway", () => {
  it.scopedLive("echoes text and binary of any size, and closes with code and reason", () =>
    Effect.gen(function* () {
      const { gateway, port } = yield* G.serve([G.route("/ws", yield* echo()), G.route("/", 1)])
      const { heard, socket } = yield* dial(port, "/ws/chat?x=1")
      for (const text of ["a", "b".repeat(70_000), "c".repeat(3_000_000)]) {
        socket.send(text)
        assert.strictEqual(yield* heard, text)
      }
      socket.send(Buffer.from("binary"))
      assert.strictEqual(yield* heard, "binary")
      socket.close(4321, "enough")
      assert.strictEqual(yield* heard, "closed 4321 enough")
      yield* Effect.repeat(turn, { until: () => gateway.connections() === 0 })
    })
  )

  it.scopedLive("what the target is asked: path, protocols and key as they are, and where it came from", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<Http.IncomingMessage>()
      const app = yield* socketTarget((_peer, request) => Deferred.unsafeDone(asked, Effect.succeed(request)))
      const { port } = yield* G.serve([G.route("/ws", app, { strip: true })])
      const { socket } = yield* dial(port, "/ws/chat?x=1", { protocols: ["one", "two"] })
      const { headers, url } = yield* Deferred.await(asked)
      assert.strictEqual(url, "/chat?x=1")
      assert.strictEqual(socket.protocol, "two")
      assert.deepInclude(headers, {
        connection: "Upgrade",
        upgrade: "websocket",
        host: `127.0.0.1:${port}`,
        "sec-websocket-protocol": "one,two",
        "sec-websocket-version": "13",
        "x-forwarded-for": "unknown",
        "x-forwarded-prefix": "/ws"
      })
    })
  )

  it.scopedLive("the target may speak first, in the packet of its answer", () =>
    Effect.gen(function* () {
      const app = yield* socketTarget((peer) => peer.send("hello"))
      const { port } = yield* G.serve([G.route("/", app)])
      assert.strictEqual(yield* (yield* dial(port, "/")).heard, "hello")
    })
  )

  it.scopedLive("a target that is cut off is a cut for the client, and the other way around", () =>
    Effect.gen(function* () {
      const peers = yield* Queue.unbounded<{ readonly peer: WebSocket; readonly raw: Net.Socket }>()
      const closes = yield* Queue.unbounded<number>()
      const app = yield* socketTarget((peer, request) => {
        peer.on("close", (code) => closes.unsafeOffer(code))
        peers.unsafeOffer({ peer, raw: request.socket })
      })
      const { port } = yield* G.serve([G.route("/", app)])
      const first = yield* dial(port, "/")
      ;(yield* Queue.take(peers)).raw.resetAndDestroy()
      assert.strictEqual(yield* first.heard, "closed 1006 ")
      assert.strictEqual(yield* Queue.take(closes), 1006)
      const second = yield* dial(port, "/")
      yield* Queue.take(peers)
      second.socket.terminate()
      assert.strictEqual(yield* Queue.take(closes), 1006)
    })
  )

  it.scopedLive("a target's refusal passes with status, headers and body", () =>
    Effect.gen(function* () {
      const app = yield* G.target(G.mirror, (server) =>
        server.on("upgrade", (_request, socket) => {
          socket.end(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno\n\r\n0\r\n\r\n"
          )
        })
      )
      const { port } = yield* G.serve([G.route("/", app)])
      const headers = {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="
      }
      const answer = yield* G.ask({ port, headers })
      assert.deepInclude(answer, { status: 401, body: "no\n" })
      assert.strictEqual(answer.headers["www-authenticate"], "Basic")
    })
  )

  it.scopedLive.each([
    ["/none", 404, /No route for \/none/],
    ["/dead", 502, /Nothing answers behind \/dead/]
  ] as const)("%s: a page in place of an answer", ([path, status, expected]) =>
    Effect.gen(function* () {
      const { port } = yield* G.serve([G.route("/dead", yield* G.freshPort)])
      const answer = yield* G.ask({ port, path, headers: { Connection: "Upgrade", Upgrade: "websocket" } })
      assert.strictEqual(answer.status, status)
      assert.match(answer.body, expected)
    })
  )

  it.scopedLive("a target that does not upgrade gives no way to speak to it past the gateway", () =>
    Effect.gen(function* () {
      const asked: Array<string | undefined> = []
      const app = yield* G.target((request, response) => {
        asked.push(request.url)
        response.writeHead(426).end("no WebSocket here")
      })
      const { port } = yield* G.serve([G.route("/ws", app)])
      const handshake = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
      const said = yield* G.say(port, `${handshake}GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n`)
      assert.match(said, /^HTTP\/1\.1 426 [^]*no WebSocket here$/)
      assert.deepStrictEqual(asked, ["/ws"])
    })
  )
})

describe("other upgrades are ignored, as a server may", () => {
  it.scopedLive("a request that offers HTTP/2 is answered in HTTP/1.1, body and all, and so is the next one", () =>
    Effect.gen(function* () {
      const { port } = yield* G.serve([G.route("/", yield* G.target(G.mirror))])
      const offer =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
      const said = yield* G.say(
        port,
        `POST /a HTTP/1.1\r\nHost: h\r\n${offer}Content-Length: 4\r\n\r\nbody` +
          "GET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
      )
      const bodies = said.match(/\{.*?\}/g) ?? []
      assert.strictEqual(bodies.length, 2)
      assert.match(bodies[0] ?? "", /"method":"POST","url":"\/a".*"body":"body"/)
      assert.notMatch(bodies[0] ?? "", /h2c|http2-settings/i)
      assert.match(bodies[1] ?? "", /"method":"GET","url":"\/b"/)
    })
  )

  it.scopedLive("a WebSocket handshake with a body is a request like others", () =>
    Effect.gen(function* () {
      const { port } = yield* G.serve([G.route("/", yield* G.target(G.mirror))])
      const headers = { Connection: "Upgrade", Upgrade: "websocket", "Content-Length": 4 }
      const answer = yield* G.ask({ port, headers, body: "body" })
      assert.match(answer.body, /"body":"body"/)
      assert.notMatch(answer.body, /websocket/i)
    })
  )
})
