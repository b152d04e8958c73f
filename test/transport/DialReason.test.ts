/** What people read when something else than a hub answers. */
import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Dialer from "../../src/transport/Dialer.ts"
import * as DialReason from "../../src/transport/DialReason.ts"
import * as HubClient from "../../src/client/HubClient.ts"
import * as HttpClient from "../../src/transport/HttpClient.ts"

/** A server that says the same to everybody: at once, or when it was asked something. */
const saying = (text: string | Buffer, unasked: boolean) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<Net.Server>((resume) => {
        const server = Net.createServer((socket) => {
          socket.on("error", () => {})
          if (unasked) socket.end(text)
          else socket.once("data", () => socket.end(text))
          socket.resume()
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
    ),
    (server) => {
      const address = server.address()
      return `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
    }
  )

const dialled = (url: string) =>
  Effect.gen(function* () {
    const { dial } = yield* Dialer.Dialer
    return yield* Effect.flip(dial(url))
  }).pipe(
    Effect.scoped,
    Effect.provide(Dialer.layer),
    Effect.map(({ reason }) => reason)
  )

const asked = (hub: string) =>
  Effect.flip(HubClient.status({ hub, token: undefined })).pipe(
    Effect.provide(HttpClient.layer),
    Effect.map(({ message }) => message)
  )

const answer = (status: string, headers = "", body = "") => `HTTP/1.1 ${status}\r\n${headers}\r\n${body}`
const page = "content-type: text/html; charset=utf-8\r\n"
const login = "log in to this network in a browser, or check the hub's address"
const stripped = "a proxy in between may not pass them on: use wss://, or have WebSockets to this host allowed there"

describe("DialReason", () => {
  it.scopedLive.each([
    [
      "a captive portal that redirects",
      answer("302 Found", "location: http://login.airport.test/?mac=00:11:22\r\n"),
      `something in between leads to http://login.airport.test instead, as the login page of a network does; ${login}`
    ],
    [
      "a captive portal that redirects to a name that is none",
      answer("307 Temporary Redirect", "location: http://a b\r\n"),
      "something in between answered, and no hub (HTTP 307); check the address"
    ],
    [
      "a redirect that leads nowhere",
      answer("302 Found"),
      "something in between answered, and no hub (HTTP 302); check the address"
    ],
    [
      "a captive portal that answers itself",
      answer("200 OK", page, "<h1>Welcome</h1>"),
      `a web page answered, not a hub (HTTP 200); ${login}`
    ],
    [
      "a network that says it",
      answer("511 Network Authentication Required", page),
      `this network wants a login first (HTTP 511); ${login}`
    ],
    [
      "a hub that has moved to TLS",
      answer("308 Permanent Redirect", "location: https://127.0.0.1/\r\n"),
      "it is reached by TLS only; write the address as wss://127.0.0.1"
    ],
    [
      "a proxy in the way that wants credentials",
      answer("407 Proxy Authentication Required"),
      "a proxy in between wants credentials (HTTP 407); name it in HTTPS_PROXY as http://user:password@host:port"
    ],
    [
      "a gateway without its hub",
      answer("502 Bad Gateway", page),
      "a gateway answered that the hub behind it does not (HTTP 502); check that the hub runs"
    ],
    [
      "a gateway that waited",
      answer("504 Gateway Timeout"),
      "a gateway answered that the hub behind it does not (HTTP 504); check that the hub runs"
    ],
    [
      "a hub that restarts",
      answer("503 Service Unavailable", "retry-after: 3\r\n"),
      "the hub, or a gateway before it, is restarting or has too many connections (HTTP 503); try again in 3 s"
    ],
    [
      "a gateway whose hub restarts",
      answer("503 Service Unavailable", page),
      "a gateway answered that the hub behind it does not (HTTP 503); check that the hub runs"
    ],
    ["an SSH server", "SSH-2.0-OpenSSH_9.2p1\r\n", "an SSH server answers there; check the port"],
    [
      "another server",
      "220 mail.test ESMTP\x1b[2J\r\n",
      `what answers there is no web server and says "220 mail.test ESMTP?[2J"; check the port`
    ],
    ["TLS", Buffer.from([0x15, 3, 1, 0, 2, 2, 70]), "it speaks TLS there; write the address with wss://"],
    ["nothing", "", "the connection was reset; check that this is a hub and not something else"]
  ] as const)("%s", ([, text, reason]) =>
    Effect.gen(function* () {
      for (const unasked of [false, true]) {
        const host = yield* saying(text, unasked)
        assert.strictEqual(yield* dialled(`ws://${host}`), reason)
        assert.strictEqual(yield* asked(`ws://${host}`), `cannot reach ws://${host}: ${reason}`)
      }
    })
  )

  it.scopedLive.each([
    ["426 Upgrade Required", "", `it answered HTTP 426 instead of a WebSocket; ${stripped}`],
    ["400 Bad Request", page, `it answered HTTP 400 instead of a WebSocket; ${stripped}`],
    ["501 Not Implemented", "", `it answered HTTP 501 instead of a WebSocket; ${stripped}`],
    ["200 OK", "content-type: application/json\r\n", `it answered HTTP 200 instead of a WebSocket; ${stripped}`],
    [
      "403 Forbidden",
      page,
      "it answered HTTP 403 instead of a WebSocket; check that this is a Tela hub, and that no firewall or proxy in between refuses it"
    ],
    ["404 Not Found", page, "it answered HTTP 404 instead of a WebSocket; check that this is a Tela hub"],
    ["500 Oops", "", "it answered HTTP 500 instead of a WebSocket; check that this is a Tela hub"]
  ] as const)("HTTP %s is no WebSocket", ([status, headers, reason]) =>
    Effect.gen(function* () {
      const host = yield* saying(answer(status, headers), false)
      assert.strictEqual(yield* dialled(`ws://${host}`), reason)
    })
  )

  it.scopedLive.each([
    ["plain HTTP", answer("400 Bad Request")],
    ["SSH", "SSH-2.0-OpenSSH_9.2p1\r\n"]
  ] as const)("%s in answer to TLS", ([, text]) =>
    Effect.gen(function* () {
      for (const unasked of [false, true]) {
        const host = yield* saying(text, unasked)
        assert.strictEqual(yield* dialled(`wss://${host}`), "it does not speak TLS there; check wss:// against ws://")
      }
    })
  )

  it.scopedLive("silence in answer to TLS, and addresses that are none", () =>
    Effect.gen(function* () {
      const host = yield* saying("", false)
      assert.match(yield* dialled(`wss://${host}`), /^the connection was (closed|reset); check/)
      for (const url of ["hub", "ftp://hub", "ws://", "ws://hub#x"])
        assert.match(yield* dialled(url), /^not a hub address/)
    })
  )

  it("shows nobody what is long or not printable", () => {
    const url = new URL("ws://hub.test")
    const location = `http://${"a".repeat(60)}.test/${"b".repeat(5_000)}\u001b[2J`
    const text = DialReason.noWebSocket(url, { status: 302, headers: { location } })
    assert.isBelow(text.length, 250)
    assert.notMatch(text, /\p{Cc}/u)
  })

  it.scopedLive.each([
    ["Sec-WebSocket-Accept", "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: none\r\n"],
    ["Upgrade", "upgrade: h2c\r\nconnection: upgrade\r\n"]
  ])("names a WebSocket that something in between has broken: its header %s", ([header, headers]) =>
    Effect.gen(function* () {
      const host = yield* saying(answer("101 Switching Protocols", headers), false)
      assert.strictEqual(
        yield* dialled(`ws://${host}`),
        `it takes WebSockets and breaks them (Invalid ${header} header); ${stripped}`
      )
    })
  )
})
