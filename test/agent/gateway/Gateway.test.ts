import { assert, describe, it } from "@effect/vitest"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Exit from "effect/Exit"
import { vi } from "vitest"
import {
  GATEWAY_CONNECTIONS,
  GATEWAY_HEADER_BYTES,
  GATEWAY_IDLE,
  GATEWAY_PIPELINED
} from "../../../src/protocol/Limits.ts"
import { logLines } from "../../support/logLines.ts"
import { turn } from "../../support/turn.ts"
import * as G from "./gateway.ts"

const Mirrored = Schema.parseJson(
  Schema.Struct({
    method: Schema.String,
    url: Schema.String,
    rawHeaders: Schema.Array(Schema.String),
    body: Schema.String
  })
)

/** What a mirror was asked, with its headers as a list of [name, value]. */
const mirrored = (answer: G.Answer) => {
  const { rawHeaders, ...rest } = Schema.decodeSync(Mirrored)(answer.body)
  const headers: Array<readonly [string, string]> = []
  for (let i = 0; i < rawHeaders.length; i += 2) headers.push([rawHeaders[i] ?? "", rawHeaders[i + 1] ?? ""])
  return { ...rest, headers }
}

const valuesOf = (headers: ReadonlyArray<readonly [string, string]>, name: string) =>
  headers.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value)

describe("what a target is asked", () => {
  it.scopedLive("method, path, query, body and headers pass as they are", () =>
    Effect.gen(function* () {
      const { port } = yield* G.serve([G.route("/api", yield* G.target(G.mirror))])
      const asked = mirrored(
        yield* G.ask({
          port,
          method: "PATCH",
          path: "/api/a%20b?x=1&y=%2F..",
          headers: { Host: "localhost:18080", "X-Thing": "a", Cookie: "c=d", "Content-Type": "text/plain" },
          body: "what is sent"
        })
      )
      assert.deepInclude(asked, { method: "PATCH", url: "/api/a%20b?x=1&y=%2F..", body: "what is sent" })
      for (const header of [
        ["X-Thing", "a"],
        ["Cookie", "c=d"],
        ["Content-Type", "text/plain"],
        ["Host", "localhost:18080"],
        ["X-Forwarded-Host", "localhost:18080"],
        ["X-Forwarded-Proto", "http"],
        ["X-Forwarded-For", "unknown"],
        ["Connection", "close"]
      ] as const) {
        assert.deepInclude(asked.headers, header)
      }
      assert.deepStrictEqual(valuesOf(asked.headers, "x-forwarded-prefix"), [])
    })
  )

  it.scopedLive("what a client claims of its origin, and the headers of its own hop, do not pass", () =>
    Effect.gen(function* () {
      const { port } = yield* G.serve([G.route("/", yield* G.target(G.mirror))])
      const said = yield* G.say(
        port,
        [
          "GET / HTTP/1.1",
          "Host: h",
          "X-Forwarded-For: 10.0.0.1",
          "x-forwarded-for: 10.0.0.2",
          "X_Forwarded_For: 10.0.0.3",
          "X-Forwarded-Proto: https",
          "X-Forwarded-Host: evil.example",
          "X-Forwarded-Prefix: /evil",
          "X-Forwarded-Port: 1",
          "Forwarded: for=10.0.0.4",
          "X-Real-IP: 10.0.0.5",
          "X-Original-URL: /admin",
          "X_Rewrite_URL: /admin",
          "Connection: close, X-Mine, X-Forwarded-For, Host",
          "X-Mine: hop",
          "Keep-Alive: timeout=9",
          "Proxy-Connection: keep-alive",
          "Proxy-Authorization: Basic secret",
          "TE: trailers",
          "X-Kept: yes",
          "",
          ""
        ].join("\r\n")
      )
      const { headers } = mirrored({ status: 200, headers: {}, rawHeaders: [], body: said.split("\r\n\r\n")[1] ?? "" })
      assert.deepStrictEqual(headers.toSorted(), [
        ["Connection", "close"],
        ["Host", "h"],
        ["X-Forwarded-For", "unknown"],
        ["X-Forwarded-Host", "h"],
        ["X-Forwarded-Proto", "http"],
        ["X-Kept", "yes"]
      ])
    })
  )

  it.scopedLive("a route may take its prefix away, and name another host", () =>
    Effect.gen(function* () {
      const app = yield* G.target(G.mirror)
      const { port } = yield* G.serve([G.route("/app/", app, { strip: true, hostHeader: "app.lan:81" })])
      const asked = mirrored(yield* G.ask({ port, path: "/app/x?y", headers: { Host: "localhost:1" } }))
      assert.strictEqual(asked.url, "/x?y")
      assert.deepStrictEqual(valuesOf(asked.headers, "host"), ["app.lan:81"])
      assert.deepStrictEqual(valuesOf(asked.headers, "x-forwarded-host"), ["localhost:1"])
      assert.deepStrictEqual(valuesOf(asked.headers, "x-forwarded-prefix"), ["/app"])
      assert.strictEqual(mirrored(yield* G.ask({ port, path: "/app" })).url, "/")
    })
  )

  it.scopedLive("the longest prefix wins, in whole segments", () =>
    Effect.gen(function* () {
      const named = (name: string) => G.target((_request, response) => void response.end(name))
      const { port } = yield* G.serve([
        G.route("/", yield* named("site")),
        G.route("/api", yield* named("api")),
        G.route("/api/v2", yield* named("v2"))
      ])
      for (const [path, expected] of [
        ["/x", "site"],
        ["/apix", "site"],
        ["/api", "api"],
        ["/api/v20", "api"],
        ["/api/v2/x", "v2"]
      ]) {
        assert.strictEqual((yield* G.ask({ port, path: path ?? "" })).body, expected)
      }
    })
  )

  it.scopedLive("a request without a body arrives as one", () =>
    Effect.gen(function* () {
      const { port } = yield* G.serve([G.route("/", yield* G.target(G.mirror))])
      for (const [method, length] of [
        ["GET", []],
        ["DELETE", []],
        ["POST", ["0"]]
      ] as const) {
        const said = yield* G.say(port, `${method} / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`)
        const { headers } = mirrored({
          status: 200,
          headers: {},
          rawHeaders: [],
          body: said.split("\r\n\r\n")[1] ?? ""
        })
        assert.deepStrictEqual(valuesOf(headers, "content-length"), [...length])
        assert.deepStrictEqual(valuesOf(headers, "transfer-encoding"), [])
      }
    })
  )

  it.scopedLive("a body in pieces arrives in pieces; Expect is answered here", () =>
    Effect.gen(function* () {
      const { port } = yield* G.serve([G.route("/", yield* G.target(G.mirror))])
      const request = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
      const said = yield* G.say(
        port,
        `${request}Expect: 100-continue\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n`
      )
      assert.match(said, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
      const body = said.split("\r\n\r\n").at(2) ?? ""
      const asked = mirrored({ status: 200, headers: {}, rawHeaders: [], body: /\{.*\}/.exec(body)?.[0] ?? body })
      assert.strictEqual(asked.body, "abcde")
      assert.deepStrictEqual(valuesOf(asked.headers, "transfer-encoding"), ["chunked"])
      for (const gone of ["expect", "trailer", "content-length"]) {
        assert.deepStrictEqual(valuesOf(asked.headers, gone), [], gone)
      }
    })
  )
})

describe("what a client gets", () => {
  it.scopedLive("status, headers in their number and order, and body; not the headers of the target's hop", () =>
    Effect.gen(function* () {
      const app = yield* G.rawTarget((socket) => {
        socket.once("data", () =>
          socket.end(
            "HTTP/1.1 418 Tea\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-Hop: 1\r\nConnection: close, X-Hop\r\n" +
              "Keep-Alive: timeout=1\r\nProxy-Authenticate: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
          )
        )
      })
      const { port } = yield* G.serve([G.route("/", app)])
      const answer = yield* G.ask({ port })
      assert.strictEqual(answer.status, 418)
      assert.strictEqual(answer.body, "hi")
      assert.deepStrictEqual(answer.headers["set-cookie"], ["a=1", "b=2"])
      for (const gone of ["x-hop", "proxy-authenticate"]) assert.notProperty(answer.headers, gone)
      assert.notInclude(String(answer.headers["keep-alive"]), "timeout=1")
    })
  )

  it.scopedLive("HEAD, 204 and 304 have no body, and keep their length", () =>
    Effect.gen(function* () {
      const app = yield* G.target((request, response) => {
        if (request.url === "/304") response.writeHead(304, { etag: '"x"' }).end()
        else if (request.url === "/204") response.writeHead(204).end()
        else response.writeHead(200, { "content-length": 5 }).end(request.method === "HEAD" ? undefined : "12345")
      })
      const { port } = yield* G.serve([G.route("/", app)])
      const head = yield* G.ask({ port, method: "HEAD" })
      assert.deepStrictEqual([head.status, head.headers["content-length"], head.body], [200, "5", ""])
      assert.strictEqual((yield* G.ask({ port, path: "/304" })).headers.etag, '"x"')
      assert.strictEqual((yield* G.ask({ port, path: "/204" })).status, 204)
    })
  )

  it.scopedLive("an answer without length ends with the connection for an HTTP/1.0 client", () =>
    Effect.gen(function* () {
      const app = yield* G.target((_request, response) => {
        response.write("one")
        response.end("two")
      })
      const { port } = yield* G.serve([G.route("/", app)])
      const said = yield* G.say(port, "GET / HTTP/1.0\r\n\r\n")
      assert.match(said, /^HTTP\/1\.1 200 OK\r\n/)
      assert.isTrue(said.endsWith("\r\n\r\nonetwo"), said)
      assert.notMatch(said, /transfer-encoding/i)
    })
  )

  it.scopedLive("what a target writes comes at once: events stream", () =>
    Effect.gen(function* () {
      const streams = yield* Queue.unbounded<Http.ServerResponse>()
      const app = yield* G.target((_request, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.flushHeaders()
        streams.unsafeOffer(response)
      })
      const { port } = yield* G.serve([G.route("/", app)])
      const events = yield* Queue.unbounded<string>()
      const request = Http.get({ host: "127.0.0.1", port, agent: false }, (response) => {
        response.setEncoding("utf8").on("data", (text: string) => events.unsafeOffer(text))
      })
      const stream = yield* Queue.take(streams)
      for (const event of ["data: 1\n\n", "data: 2\n\n"]) {
        stream.write(event)
        assert.strictEqual(yield* Queue.take(events), event)
      }
      request.destroy()
    })
  )

  it.scopedLive(
    "a connection carries one request after the other; each has a connection of its own to the target",
    () =>
      Effect.gen(function* () {
        let connections = 0
        const app = yield* G.target(
          (request, response) => void response.end(request.url),
          (server) => server.on("connection", () => connections++)
        )
        const { gateway, port } = yield* G.serve([G.route("/", app)])
        const agent = new Http.Agent({ keepAlive: true, maxSockets: 1 })
        yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
        for (const path of ["/1", "/2", "/3"]) assert.strictEqual((yield* G.ask({ port, path, agent })).body, path)
        assert.strictEqual(connections, 3)
        assert.strictEqual(gateway.connections(), 1)
      })
  )

  it.scopedLive("requests sent ahead are answered one after the other, and only so many", () =>
    Effect.gen(function* () {
      const underWay = { now: 0, most: 0 }
      const app = yield* G.target((request, response) => {
        underWay.most = Math.max(underWay.most, ++underWay.now)
        setImmediate(() => {
          underWay.now--
          response.end(request.url)
        })
      })
      const { port } = yield* G.serve([G.route("/", app)])
      const get = (path: string, close = false) =>
        `GET /${path} HTTP/1.1\r\nHost: h\r\n${close ? "Connection: close\r\n" : ""}\r\n`
      const said = yield* G.say(port, get("a") + get("b") + get("c", true))
      assert.deepStrictEqual(said.match(/\/[abc]$|\/[abc](?=HTTP)/gm), ["/a", "/b", "/c"])
      assert.strictEqual(underWay.most, 1)
      const flood = yield* G.say(port, get("x").repeat(GATEWAY_PIPELINED + 2))
      assert.match(flood, /\[.*ECONNRESET\]$/)
    })
  )
})

describe("requests that are not passed on", () => {
  const post = (headers: string, body = "") => `POST /x HTTP/1.1\r\nHost: h\r\n${headers}\r\n\r\n${body}`
  const get = (target: string, more = "") => `GET ${target} HTTP/1.1\r\nHost: h\r\n${more}\r\n`

  it.scopedLive.each([
    ["Content-Length and Transfer-Encoding", post("Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), 400],
    ["the same the other way around", post("Transfer-Encoding: chunked\r\nContent-Length: 4", "0\r\n\r\n"), 400],
    ["two lengths", post("Content-Length: 4\r\nContent-Length: 5", "abcde"), 400],
    ["a list of lengths", post("Content-Length: 4, 4", "abcd"), 400],
    ["a signed length", post("Content-Length: +4", "abcd"), 400],
    ["a space before the colon", post("Content-Length : 4", "abcd"), 400],
    ["an unknown transfer encoding", post("Transfer-Encoding: xchunked", "0\r\n\r\n"), 501],
    ["an encoding after chunked", post("Transfer-Encoding: chunked, identity", "0\r\n\r\n"), 400],
    ["two transfer encodings", post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), 501],
    ["a hidden transfer encoding", post("Transfer-Encoding: \x0bchunked", "0\r\n\r\n"), 400],
    ["a folded header", post("Content-Length: 4\r\nX: a\r\n b", "abcd"), 400],
    ["a bare line feed in the head", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400],
    ["a bare line feed at its end", "GET / HTTP/1.1\r\nHost: h\r\n\n", 400],
    ["a bare carriage return", get("/", "X: a\rb\r\n"), 400],
    ["a bare line feed after a chunk's size", post("Transfer-Encoding: chunked", "3\nabc\r\n0\r\n\r\n"), 400],
    ["a hexadecimal prefix in a chunk's size", post("Transfer-Encoding: chunked", "0x3\r\nabc\r\n0\r\n\r\n"), 400],
    ["chunks for HTTP/1.0", "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400],
    ["a null character", get("/", "X: a\0b\r\n"), 400],
    ["two hosts", get("/", "Host: other\r\n"), 400],
    ["a host that is none", "GET / HTTP/1.1\r\nHost: h/../x\r\n\r\n", 400],
    ["no host", "GET / HTTP/1.1\r\n\r\n", 400],
    ["an address with a host", get("http://h/x"), 400],
    ["the address *", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400],
    ["a fragment", get("/x#y"), 400],
    ["TRACE", "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405],
    ["CONNECT", "CONNECT h:22 HTTP/1.1\r\nHost: h\r\n\r\n", 405],
    ["HTTP/2", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505],
    ["HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
    ["too long a head", get("/", `X: ${"x".repeat(GATEWAY_HEADER_BYTES)}\r\n`), 431],
    ["no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400]
  ] as const)("%s", ([, sent, status]) =>
    Effect.gen(function* () {
      const requests: Array<string | undefined> = []
      const app = yield* G.target((request, response) => {
        request.on("error", () => {})
        request.on("end", () => requests.push(request.url))
        request.resume()
        request.on("end", () => response.end("from the target"))
      })
      const { port } = yield* G.serve([G.route("/", app)])
      // What a smuggler would have taken for a request of its own.
      const said = yield* G.say(port, `${sent}GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n`)
      assert.match(said, new RegExp(`^HTTP/1\\.1 ${status} `))
      assert.notInclude(said, "from the target")
      assert.deepStrictEqual(requests, [])
    })
  )

  it.scopedLive.each(["/x/../y", "/x/%2e%2e%2fy", "/x/..;/y"])("a path that may be read as another one: %s", (path) =>
    Effect.gen(function* () {
      const { port } = yield* G.serve([G.route("/x", yield* G.target(G.mirror))])
      const said = yield* G.say(port, `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`)
      assert.match(said, /^HTTP\/1\.1 400 [^]*path has \. or \.\. as a part/)
    })
  )
})

describe("pages in place of an answer", () => {
  const browser = { headers: { Accept: "text/html,application/xhtml+xml,*/*;q=0.8" } }

  it.scopedLive("404 names the routes, and escapes the path", () =>
    Effect.gen(function* () {
      const { port } = yield* G.serve([G.route("/api", 1), G.route("/app/", 2)])
      const text = yield* G.ask({ port, path: "/x%22?secret" })
      assert.strictEqual(text.status, 404)
      assert.match(text.headers["content-type"] ?? "", /^text\/plain/)
      assert.strictEqual(
        text.body,
        'No route for /x%22\nThe gateway of machine "barn" has no route that leads there.\n' +
          "To serve it, add a route with a target to the gateway in the machine's telad.yaml. These paths have one:\n" +
          "  /api\n  /app\n"
      )
      const html = yield* G.ask({ port, path: "/<script>alert(1)</script>'\"&", ...browser })
      assert.match(html.headers["content-type"] ?? "", /^text\/html/)
      assert.strictEqual(html.headers["x-content-type-options"], "nosniff")
      assert.match(String(html.headers["content-security-policy"]), /^default-src 'none'/)
      assert.include(html.body, "/&lt;script&gt;alert(1)&lt;/script&gt;&#39;&quot;&amp;")
      assert.notInclude(html.body, "<script")
      assert.include(html.body, '<li><a href="/api">/api</a></li>')
    })
  )

  it.scopedLive("502 names route, target and fix; the log says it once, and when it works again", () =>
    Effect.gen(function* () {
      const log = yield* logLines
      const dead = yield* G.freshPort
      const { gateway, port } = yield* G.serve([G.route("/api", dead), G.route("/app", dead)]).pipe(
        Effect.provide(log.layer)
      )
      for (let i = 0; i < 3; i++) {
        const { body, status } = yield* G.ask({ port, path: "/api/x" })
        assert.strictEqual(status, 502)
        assert.include(body, "Nothing answers behind /api\n")
        assert.include(body, `route /api: 127.0.0.1:${dead} refused the connection.`)
        assert.include(body, "correct the route's target in the machine's telad.yaml")
      }
      assert.strictEqual((yield* G.ask({ port, path: "/app", ...browser })).status, 502)
      assert.deepStrictEqual(yield* log.taken, [
        `gateway route /api (127.0.0.1:${dead}) fails: 127.0.0.1:${dead} refused the connection`,
        `gateway route /app (127.0.0.1:${dead}) fails: 127.0.0.1:${dead} refused the connection`
      ])
      const app = yield* G.target(G.mirror)
      gateway.update(G.options([G.route("/api", app)]))
      assert.strictEqual((yield* G.ask({ port, path: "/api" })).status, 200)
      assert.deepStrictEqual(yield* log.taken, [])
    })
  )

  it.scopedLive("a target that works again is said to", () =>
    Effect.gen(function* () {
      const log = yield* logLines
      let isBroken = true
      const app = yield* G.rawTarget((socket) => {
        socket.once("data", () =>
          isBroken ? socket.destroy() : socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        )
      })
      const { port } = yield* G.serve([G.route("/", app)]).pipe(Effect.provide(log.layer))
      const { body, status } = yield* G.ask({ port })
      assert.strictEqual(status, 502)
      assert.match(body, /The program behind \/ gave no answer\n.*broke off: socket hang up\./)
      isBroken = false
      assert.strictEqual((yield* G.ask({ port })).status, 200)
      assert.match(yield* log.until(/./), /^gateway route \/ .* fails: .*socket hang up/)
      assert.match(yield* log.until(/./), /^gateway route \/ .* works again$/)
    })
  )

  it.scopedLive.each([
    ["no HTTP", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    ["a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["an encoding that is lost", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
    ["too long a head", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(GATEWAY_HEADER_BYTES)}\r\n\r\n`],
    ["an upgrade nobody asked for", "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"]
  ] as const)("502 for a target that answers with %s", ([, answer]) =>
    Effect.gen(function* () {
      const app = yield* G.rawTarget((socket) => socket.once("data", () => socket.end(answer, "latin1")))
      const { port } = yield* G.serve([G.route("/", app)])
      assert.strictEqual((yield* G.ask({ port })).status, 502)
    })
  )

  it.scopedLive("504 when the target takes longer than its route allows; the request ends there too", () =>
    Effect.gen(function* () {
      const left = yield* Deferred.make<void>()
      const app = yield* G.rawTarget((socket) => {
        socket.resume()
        socket.on("error", () => Deferred.unsafeDone(left, Effect.void))
      })
      const { port } = yield* G.serve([G.route("/slow", app, { timeout: 50 })])
      const { body, status } = yield* G.ask({ port, path: "/slow/report", method: "POST", body: "x" })
      assert.strictEqual(status, 504)
      assert.include(body, "The program behind /slow takes too long\n")
      assert.include(body, "did not answer within 0.05 s")
      assert.include(body, "timeout: 5m")
      yield* Deferred.await(left)
    })
  )

  it.scopedLive("408 when the rest of a request does not come", () =>
    Effect.gen(function* () {
      const app = yield* G.rawTarget((socket) => void socket.resume())
      const { port } = yield* G.serve([G.route("/", app, { timeout: 50 })])
      const said = yield* G.say(port, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
      assert.match(said, /^HTTP\/1\.1 408 /)
    })
  )

  it.scopedLive("HEAD gets a page's headers alone", () =>
    Effect.gen(function* () {
      const { port } = yield* G.serve([G.route("/api", 1)])
      const { body, headers, status } = yield* G.ask({ port, method: "HEAD" })
      assert.deepStrictEqual([status, body], [404, ""])
      assert.isAbove(Number(headers["content-length"]), 0)
    })
  )
})

const MiB = 1024 * 1024

/** Writes as long as there is room, for ever; how much was taken is what it returns. */
const pour = (into: Net.Socket | Http.ClientRequest | Http.ServerResponse) => {
  const chunk = Buffer.alloc(64 * 1024, 0x5a)
  let taken = 0
  const more = () => {
    do taken += chunk.length
    while (into.write(chunk))
  }
  into.on("drain", more)
  more()
  return () => taken
}

/** Waits until a figure has stood still for a while, and says what it is. */
const settled = (figure: () => number) =>
  Effect.iterate(
    { last: -1, still: 0 },
    {
      while: ({ still }) => still < 10,
      body: ({ last, still }) =>
        Effect.delay(
          Effect.sync(() => ({ last: figure(), still: figure() === last ? still + 1 : 0 })),
          20
        )
    }
  ).pipe(Effect.map(({ last }) => last))

describe("bodies", () => {
  it.scopedLive("stream in both directions at the same time, whole", () =>
    Effect.gen(function* () {
      const app = yield* G.target((request, response) => void request.pipe(response))
      const { port } = yield* G.serve([G.route("/", app)])
      const sent = Buffer.from(Array.from({ length: 3 * MiB }, (_, i) => (i * 7 + (i >> 8)) % 256))
      for (const headers of [{ "Content-Length": sent.length }, { "Transfer-Encoding": "chunked" }]) {
        const got = yield* Effect.async<Buffer, Error>((resume) => {
          const request = Http.request(
            { host: "127.0.0.1", port, method: "POST", headers, agent: false },
            (response) => {
              const chunks: Array<Buffer> = []
              response.on("data", (chunk: Buffer) => chunks.push(chunk))
              response.on("end", () => resume(Effect.succeed(Buffer.concat(chunks))))
            }
          )
          request.on("error", (error) => resume(Effect.fail(error)))
          request.end(sent)
        })
        assert.isTrue(got.equals(sent))
      }
    })
  )

  it.scopedLive("a client that does not read stops the target, and one that goes ends it", () =>
    Effect.gen(function* () {
      const streams = yield* Queue.unbounded<Http.ServerResponse>()
      const app = yield* G.target((_request, response) => void streams.unsafeOffer(response))
      const { port } = yield* G.serve([G.route("/", app)])
      const request = Http.get({ host: "127.0.0.1", port, agent: false }, (response) => void response.pause())
      request.on("error", () => {})
      const stream = yield* Queue.take(streams)
      const taken = yield* settled(pour(stream))
      // What sockets of the system hold is theirs to say; nobody in between holds more.
      assert.isBelow(taken, 16 * MiB)
      const gone = Effect.async<void>((resume) => void stream.once("close", () => resume(Effect.void)))
      const waiting = yield* Effect.fork(gone)
      yield* Effect.yieldNow()
      request.destroy()
      yield* Fiber.join(waiting)
    })
  )

  it.scopedLive("a target that does not read stops the client", () =>
    Effect.gen(function* () {
      const app = yield* G.rawTarget((socket) => void socket.pause())
      const { port } = yield* G.serve([G.route("/", app)])
      const request = Http.request({ host: "127.0.0.1", port, method: "POST", agent: false })
      request.on("error", () => {})
      yield* Effect.addFinalizer(() => Effect.sync(() => request.destroy()))
      assert.isBelow(yield* settled(pour(request)), 16 * MiB)
    })
  )

  it.scopedLive("an answer that breaks off is no end for the client", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<Net.Socket>()
      const app = yield* G.rawTarget((socket) => {
        socket.once("data", () => {
          socket.write("HTTP/1.1 200 OK\r\n\r\nthe beginning")
          Deferred.unsafeDone(begun, Effect.succeed(socket))
        })
      })
      const { port } = yield* G.serve([G.route("/", app)])
      const arrived = yield* Deferred.make<void>()
      const asking = yield* Effect.fork(
        Effect.async<string>((resume) => {
          // Without a length, only the end of the connection is the end of the answer.
          const client = Net.connect(port, "127.0.0.1", () => client.write("GET / HTTP/1.0\r\n\r\n"))
          client.on("data", () => Deferred.unsafeDone(arrived, Effect.void))
          client.on("end", () => resume(Effect.succeed("ended")))
          client.on("error", (error) => resume(Effect.succeed(error.message)))
        })
      )
      yield* Deferred.await(arrived)
      ;(yield* Deferred.await(begun)).resetAndDestroy()
      assert.strictEqual(yield* Fiber.join(asking), "read ECONNRESET")
    })
  )

  it.scopedLive("a client that goes before the answer ends the request at the target", () =>
    Effect.gen(function* () {
      const arrived = yield* Deferred.make<Net.Socket>()
      const app = yield* G.rawTarget((socket) => {
        socket.once("data", () => Deferred.unsafeDone(arrived, Effect.succeed(socket)))
      })
      const { gateway, port } = yield* G.serve([G.route("/", app)])
      const asking = yield* Effect.fork(G.ask({ port }))
      const socket = yield* Deferred.await(arrived)
      const reset = yield* Effect.fork(
        Effect.async<void>((resume) => void socket.once("close", () => resume(Effect.void)))
      )
      yield* Fiber.interrupt(asking)
      yield* Fiber.join(reset)
      assert.strictEqual(gateway.connections(), 0)
    })
  )

  it.scopedLive("an answer before the end of the request is the connection's last", () =>
    Effect.gen(function* () {
      const app = yield* G.rawTarget((socket) => {
        socket.once("data", () => socket.end("HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nno\n"))
      })
      const { port } = yield* G.serve([G.route("/", app)])
      const said = yield* G.say(port, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc")
      assert.match(said, /^HTTP\/1\.1 413 [^]*Connection: close\r\n\r\nno\n$/)
    })
  )
})

describe("a gateway's life", () => {
  it.scopedLive("a connection without a request is closed, one with half a head is answered 408", () =>
    Effect.gen(function* () {
      const app = yield* G.target(G.mirror)
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.useRealTimers()))
      const { gateway, port } = yield* G.serve([G.route("/", app)])
      const until = (isSo: () => boolean) => Effect.repeat(turn, { until: isSo })
      const quiet = yield* Effect.fork(G.say(port, ""))
      const slow = yield* Effect.fork(G.say(port, "GET / HTTP/1.1\r\nHost: h\r\nX: "))
      const kept = yield* Effect.fork(G.say(port, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
      yield* until(() => gateway.connections() === 3)
      // The target's own keep-alive timer is faked too, so turns are what lets bytes pass.
      yield* Effect.repeatN(turn, 200)
      vi.advanceTimersByTime(GATEWAY_IDLE)
      assert.strictEqual(yield* Fiber.join(quiet), "")
      assert.match(yield* Fiber.join(slow), /^HTTP\/1\.1 408 /)
      assert.match(yield* Fiber.join(kept), /^HTTP\/1\.1 200 [^]*"body":""\}$/)
      yield* until(() => gateway.connections() === 0)
    })
  )

  it.scoped("it has only so many connections", () =>
    Effect.gen(function* () {
      const { gateway } = yield* G.serve([G.route("/", 1)])
      for (let i = 0; i < GATEWAY_CONNECTIONS; i++) yield* gateway.open
      assert.match((yield* Effect.flip(gateway.open)).reason, /takes no more$/)
    })
  )

  it.scopedLive("with another configuration, what is under way on a route that stays goes on; all else ends", () =>
    Effect.gen(function* () {
      const streams = yield* Queue.unbounded<Http.ServerResponse>()
      const app = yield* G.target((_request, response) => {
        response.write("a")
        streams.unsafeOffer(response)
      })
      const { gateway, port } = yield* G.serve([G.route("/stays", app), G.route("/goes", app)])
      const stays = yield* Effect.fork(G.ask({ port, path: "/stays" }))
      const stream = yield* Queue.take(streams)
      const goes = yield* Effect.fork(Effect.flip(G.ask({ port, path: "/goes" })))
      yield* Queue.take(streams)
      gateway.update(G.options([G.route("/stays", app, { timeout: 1_000 }), G.route("/new", app)]))
      assert.match((yield* Fiber.join(goes)).message, /ECONNRESET|hang up|aborted/)
      stream.end("b")
      assert.strictEqual((yield* Fiber.join(stays)).body, "ab")
      assert.strictEqual((yield* G.ask({ port, path: "/goes" })).status, 404)
    })
  )

  it.scopedLive("before it stops it closes what is idle, and what is busy after its answer", () =>
    Effect.gen(function* () {
      const streams = yield* Queue.unbounded<Http.ServerResponse>()
      const app = yield* G.target((_request, response) => void streams.unsafeOffer(response))
      const { gateway, port } = yield* G.serve([G.route("/", app)])
      const idle = yield* Effect.fork(G.say(port, ""))
      const busy = yield* Effect.fork(G.say(port, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
      const stream = yield* Queue.take(streams)
      gateway.leave()
      assert.strictEqual(yield* Fiber.join(idle), "")
      stream.end("done")
      assert.match(yield* Fiber.join(busy), /Connection: close\r\n\r\ndone$/)
    })
  )

  it.scopedLive("with its scope every connection is reset", () =>
    Effect.gen(function* () {
      const arrived = yield* Deferred.make<void>()
      const app = yield* G.rawTarget((socket) => {
        socket.once("data", () => Deferred.unsafeDone(arrived, Effect.void))
      })
      const scope = yield* Scope.make()
      const { port } = yield* Scope.extend(G.serve([G.route("/", app)]), scope)
      const asking = yield* Effect.fork(Effect.flip(G.ask({ port })))
      yield* Deferred.await(arrived)
      yield* Scope.close(scope, Exit.void)
      assert.match((yield* Fiber.join(asking)).message, /ECONNRESET|hang up/)
    })
  )
})
