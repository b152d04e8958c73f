/** The way to a hub: by itself or through a proxy, with TLS or without, for WebSockets and for requests. */
import * as Http from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import * as HttpClientService from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { WebSocketServer } from "ws"
import { DIAL_TIMEOUT, HTTP_CLIENT_TIMEOUT } from "../../src/protocol/Limits.ts"
import * as Dialer from "../../src/transport/Dialer.ts"
import * as HttpClient from "../../src/transport/HttpClient.ts"
import * as HubNetwork from "../../src/transport/HubNetwork.ts"
import * as SystemCas from "../../src/transport/SystemCas.ts"
import * as Tools from "../e2e/harness/Tools.ts"
import * as Certificates from "../support/certificates.ts"
import * as ConnectProxy from "../support/ConnectProxy.ts"

const name = "hub.internal.test"

/** Runs a server on a free port of 127.0.0.1 until the scope ends; all connections end with it. */
const listening = (
  server: Net.Server
): Effect.Effect<{ readonly port: number; readonly open: () => number }, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<{ port: number; open: () => number; sockets: Set<Net.Socket> }>((resume) => {
      const sockets = new Set<Net.Socket>()
      server.on("connection", (socket: Net.Socket) => {
        sockets.add(socket)
        socket.on("error", () => {})
        socket.on("close", () => sockets.delete(socket))
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ port, open: () => sockets.size, sockets }))
      })
    }),
    ({ sockets }) =>
      Effect.async<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
  )

/** A hub that greets every WebSocket and answers every request. */
const hub = (tls?: { readonly cert: Buffer; readonly key: Buffer }) =>
  Effect.suspend(() => {
    const server = tls === undefined ? Http.createServer() : Https.createServer(tls)
    const wss = new WebSocketServer({ server })
    wss.on("connection", (ws) => ws.send("hello"))
    server.on("request", (request, response) => response.end(JSON.stringify({ path: request.url })))
    return listening(server)
  })

/** What a hub says first. */
const greeting = (url: string) =>
  Effect.gen(function* () {
    const { dial } = yield* Dialer.Dialer
    const carrier = yield* dial(url)
    const said = yield* Deferred.make<string>()
    carrier.receive({
      binary: () => {},
      text: (text) => Deferred.unsafeDone(said, Effect.succeed(text)),
      drain: () => {},
      closed: () => {}
    })
    return yield* Deferred.await(said)
  }).pipe(Effect.scoped, Effect.provide(Dialer.layer))

/** The answer to a request. */
const answer = (url: string) =>
  Effect.gen(function* () {
    const client = yield* HttpClientService.HttpClient
    const response = yield* client.get(`${url.replace(/^ws/, "http")}/api/status`)
    return yield* response.json
  }).pipe(Effect.provide(HttpClient.layer))

const inNetwork = (env: Record<string, string>, cas: ReadonlyArray<string> = []) =>
  Effect.provideService(HubNetwork.HubNetwork, HubNetwork.make(env, cas))

const reasonOf = (url: string, env: Record<string, string>, cas: ReadonlyArray<string> = []) =>
  Effect.flip(greeting(url)).pipe(
    inNetwork(env, cas),
    Effect.map(({ reason }) => reason)
  )

const eventually = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() =>
    holds()
      ? Effect.void
      : Effect.zipRight(
          Effect.promise(() => new Promise(setImmediate)),
          eventually(holds)
        )
  )

describe("HubSocket", () => {
  it.scopedLive("reaches a hub by itself", () =>
    Effect.gen(function* () {
      const { open, port } = yield* hub()
      for (const host of ["127.0.0.1", "localhost"]) {
        assert.strictEqual(yield* greeting(`ws://${host}:${port}`), "hello")
        assert.deepStrictEqual(yield* answer(`ws://${host}:${port}`), { path: "/api/status" })
      }
      yield* eventually(() => open() === 0)
    })
  )

  it.scopedLive("goes through a proxy, which alone knows the name, with WebSockets and requests", () =>
    Effect.gen(function* () {
      const { open, port } = yield* hub()
      const proxy = yield* ConnectProxy.start({ ports: { [`${name}:80`]: port }, credentials: "ann:hunter:2@/%" })
      const env = { HTTP_PROXY: `http://ann:hunter%3A2%40%2F%25@127.0.0.1:${proxy.port}` }
      assert.strictEqual(yield* inNetwork(env)(greeting(`ws://${name}`)), "hello")
      assert.deepStrictEqual(yield* inNetwork(env)(answer(`ws://${name}`)), { path: "/api/status" })
      assert.deepStrictEqual(proxy.asked, [`${name}:80`, `${name}:80`])
      // What NO_PROXY keeps from it is looked for by itself, and not found.
      assert.match(yield* reasonOf(`ws://${name}`, { ...env, NO_PROXY: ".internal.test" }), /no such host|looked up/)
      assert.lengthOf(proxy.asked, 2)
      yield* eventually(() => proxy.open() === 0 && open() === 0)
    })
  )

  const refusals: ReadonlyArray<readonly [title: string, (socket: Duplex) => void, RegExp]> = [
    [
      "wants credentials",
      (socket) => socket.end('HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'),
      /refuses the user and password in HTTP_PROXY \(HTTP 407\)$/
    ],
    [
      "knows NTLM only",
      (socket) => socket.end("HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\n\r\n"),
      /wants a way to log in that is not known here \(HTTP 407\); only Basic is$/
    ],
    [
      "forbids it",
      (socket) => socket.end("HTTP/1.1 403 Forbidden\r\n\r\n"),
      /opens no way to hub\.internal\.test:80 \(HTTP 403\); ask its administrator to allow it$/
    ],
    [
      "answers with a page",
      (socket) => socket.end("HTTP/1.1 302 Found\r\nLocation: http://login.test/\r\n\r\n"),
      /opens no way to hub\.internal\.test:80 \(HTTP 302\)/
    ],
    [
      "cannot reach it",
      (socket) => socket.end("HTTP/1.1 504 Gateway Timeout\r\n\r\n"),
      /cannot reach hub\.internal\.test:80 \(HTTP 504\); check the hub's address$/
    ],
    ["closes", (socket) => socket.end(), /cannot be used: the connection was reset; check HTTP_PROXY$/],
    ["is no proxy", (socket) => socket.end("220 smtp.test ESMTP\r\n"), /cannot be used: it does not speak HTTP; check/],
    [
      "has no end of headers",
      (socket) => socket.write(`HTTP/1.1 200 OK\r\n${"X-Filler: 1234567890\r\n".repeat(2_000)}`),
      /cannot be used: it does not speak HTTP; check HTTP_PROXY$/
    ]
  ]

  it.scopedLive.each(refusals)("names a proxy that %s", ([, instead, says]) =>
    Effect.gen(function* () {
      const proxy = yield* ConnectProxy.start({ ports: {}, instead })
      const env = { HTTP_PROXY: `http://ann:hunter2@127.0.0.1:${proxy.port}` }
      const reason = yield* reasonOf(`ws://${name}`, env)
      assert.include(reason, `the proxy http://127.0.0.1:${proxy.port} (HTTP_PROXY)`)
      assert.match(reason, says)
      const asked = yield* inNetwork(env)(Effect.flip(answer(`ws://${name}`)))
      assert.include(asked.message, reason)
      assert.notInclude(reason + asked.message + JSON.stringify(asked), "hunter2")
    })
  )

  it.scopedLive("names a proxy that is not there, wants credentials or is none", () =>
    Effect.gen(function* () {
      const { port } = yield* Effect.scoped(listening(Net.createServer()))
      assert.strictEqual(
        yield* reasonOf(`ws://${name}`, { ALL_PROXY: `127.0.0.1:${port}` }),
        `the proxy http://127.0.0.1:${port} (ALL_PROXY) cannot be used: nothing listens there; check ALL_PROXY`
      )
      assert.match(
        yield* reasonOf(`ws://${name}`, { http_proxy: "http://proxy.invalid:1" }),
        /^the proxy http:\/\/proxy\.invalid:1 \(http_proxy\) cannot be used: (no such host|the name .*); check http_proxy$/
      )
      assert.match(yield* reasonOf(`ws://${name}`, { HTTP_PROXY: "socks5://p:1" }), /^HTTP_PROXY names a SOCKS proxy/)
      const proxy = yield* ConnectProxy.start({ ports: {}, credentials: "ann:hunter2" })
      assert.match(
        yield* reasonOf(`ws://${name}`, { HTTP_PROXY: `http://127.0.0.1:${proxy.port}` }),
        /wants credentials \(HTTP 407\); write HTTP_PROXY as http:\/\/user:password@host:port$/
      )
      assert.deepStrictEqual(
        yield* reasonOf(`ws://${name}`, { HTTP_PROXY: `http://ann:hunter2@127.0.0.1:${proxy.port}` }),
        `the proxy http://127.0.0.1:${proxy.port} (HTTP_PROXY) cannot reach ${name}:80 (HTTP 502); check the hub's address`
      )
    })
  )

  it.scoped("does not wait for a proxy that is silent, and leaves no connection", () =>
    Effect.gen(function* () {
      const proxy = yield* ConnectProxy.start({ ports: {}, instead: () => {} })
      const says = `the proxy http://127.0.0.1:${proxy.port} (HTTP_PROXY) did not answer within`
      const network = inNetwork({ HTTP_PROXY: `http://127.0.0.1:${proxy.port}` })
      const dialled = yield* Effect.fork(network(Effect.flip(greeting(`ws://${name}`))))
      yield* proxy.askedTimes(1)
      yield* TestClock.adjust(DIAL_TIMEOUT)
      assert.include((yield* Fiber.join(dialled)).reason, `${says} 15 s`)
      const asked = yield* Effect.fork(network(Effect.flip(answer(`ws://${name}`))))
      yield* proxy.askedTimes(2)
      yield* TestClock.adjust(HTTP_CLIENT_TIMEOUT)
      assert.include((yield* Fiber.join(asked)).message, `${says} 10 s`)
    })
  )

  it.scopedLive("leaves nothing open when it is interrupted, wherever it stands", () =>
    Effect.gen(function* () {
      const silent = yield* listening(Net.createServer((socket) => socket.resume()))
      const proxy = yield* ConnectProxy.start({ ports: { [`${name}:80`]: silent.port, [`${name}:443`]: silent.port } })
      const env = { ALL_PROXY: `http://127.0.0.1:${proxy.port}` }
      for (const url of [`ws://${name}`, `wss://${name}`, `wss://127.0.0.1:${silent.port}`]) {
        const fiber = yield* Effect.fork(inNetwork(env)(greeting(url)))
        yield* eventually(() => silent.open() === 1)
        yield* Fiber.interrupt(fiber)
        yield* eventually(() => silent.open() === 0 && proxy.open() === 0)
      }
    })
  )
})

const { notice, skip } = Tools.missing("openssl")

describe.skipIf(skip)(`HubSocket with TLS${notice}`, () => {
  it.scopedLive.each(["direct", "http", "https"])("trusts the CA that is named: %s", (kind) =>
    Effect.gen(function* () {
      const { ca, cert, key } = yield* Certificates.make(`DNS:${name},IP:127.0.0.1`)
      const { open, port } = yield* hub({ cert, key })
      const proxy = yield* ConnectProxy.start({
        ports: { [`${name}:443`]: port },
        ...(kind === "https" && { tls: { cert, key } })
      })
      const url = kind === "direct" ? `wss://127.0.0.1:${port}` : `wss://${name}`
      const env: Record<string, string> = kind === "direct" ? {} : { HTTPS_PROXY: `${kind}://127.0.0.1:${proxy.port}` }
      const unknown =
        "its certificate's CA is not known here: it is issued by \"Example Inspection CA\"; name the CA's file with -ca"
      assert.include(yield* reasonOf(url, env), kind === "https" ? "its certificate's CA is not known here" : unknown)
      const cas = yield* SystemCas.read(ca)
      for (const network of [
        inNetwork(env, cas),
        inNetwork({ ...env, SSL_CERT_FILE: ca }),
        inNetwork({ ...env, NODE_EXTRA_CA_CERTS: ca })
      ]) {
        assert.strictEqual(yield* network(greeting(url)), "hello")
        assert.deepStrictEqual(yield* network(answer(url)), { path: "/api/status" })
      }
      assert.lengthOf(proxy.asked, kind === "direct" ? 0 : kind === "http" ? 7 : 6)
      yield* eventually(() => proxy.open() === 0 && open() === 0)
    })
  )

  it.scopedLive.each(["direct", "http", "https"])("files go the same way: %s", (kind) =>
    Effect.gen(function* () {
      const { ca, cert, key } = yield* Certificates.make(`DNS:${name},IP:127.0.0.1`)
      let taken = 0
      const server = Https.createServer({ cert, key }, (request, response) => {
        request.on("data", (data: Buffer) => (taken += data.length))
        request.on("end", () => response.end("taken"))
      })
      const { open, port } = yield* listening(server)
      const proxy = yield* ConnectProxy.start({
        ports: { [`${name}:443`]: port },
        ...(kind === "https" && { tls: { cert, key } })
      })
      const env: Record<string, string> = kind === "direct" ? {} : { HTTPS_PROXY: `${kind}://127.0.0.1:${proxy.port}` }
      const size = 4_000_000
      const bytes = Stream.range(1, 40).pipe(Stream.map(() => new Uint8Array(size / 40)))
      const url = kind === "direct" ? `https://127.0.0.1:${port}` : `https://${name}`
      const put = HttpClientRequest.bodyStream(HttpClientRequest.put(url), bytes, { contentLength: size })
      const refused = yield* Effect.flip(inNetwork(env)(HttpClient.make.execute(put)))
      assert.include(refused.message, "its certificate's CA is not known here")
      assert.strictEqual(taken, 0)
      const response = yield* inNetwork(env, yield* SystemCas.read(ca))(HttpClient.make.execute(put))
      assert.deepStrictEqual([yield* response.text, taken], ["taken", size])
      yield* eventually(() => proxy.open() === 0 && open() === 0)
    })
  )

  it.scopedLive("a certificate for another name is refused, and a CA file that is none is named", () =>
    Effect.gen(function* () {
      const { ca, cert, folder, key } = yield* Certificates.make("DNS:other.test")
      const { port } = yield* hub({ cert, key })
      const proxy = yield* ConnectProxy.start({ ports: { [`${name}:443`]: port } })
      const env = { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` }
      const cas = yield* SystemCas.read(ca)
      assert.strictEqual(yield* reasonOf(`wss://${name}`, env, cas), "its certificate is for another name")
      assert.strictEqual(
        yield* reasonOf(`wss://${name}`, { ...env, SSL_CERT_FILE: `${folder}/none.pem` }),
        `SSL_CERT_FILE: ${folder}/none.pem is not there`
      )
      assert.strictEqual(
        yield* reasonOf(`wss://${name}`, { ...env, NODE_EXTRA_CA_CERTS: `${folder}/names` }),
        `NODE_EXTRA_CA_CERTS: ${folder}/names holds no certificate; it is to hold the CA's, as PEM`
      )
      // Without TLS nobody asks for it.
      assert.match(
        yield* reasonOf(`ws://${name}`, { HTTP_PROXY: env.HTTPS_PROXY, SSL_CERT_FILE: `${folder}/none.pem` }),
        /HTTP 502/
      )
    })
  )
})
