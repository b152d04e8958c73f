import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { createHash, randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Path from "node:path"
import { WebSocket, WebSocketServer } from "ws"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as Memory from "./harness/Memory.ts"
import * as Program from "./harness/Program.ts"
import * as Sockets from "./harness/Sockets.ts"
import * as Tela from "./harness/Tela.ts"
import { freePort } from "./harness/Workspace.ts"
import * as World from "./harness/World.ts"

const MiB = 1024 * 1024
const LARGE = randomBytes(64 * MiB)
const CHUNK = Buffer.alloc(64 * 1024, 0x5a)

/** What passes beside the stalled reader in a round, and how much resident memory may move without having been kept. */
const ROUND = Buffer.alloc(48 * MiB, 0xa5)
const NOISE = 32 * MiB

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

/** A web server on a port of its own; it ends with the scope. */
const site = (answer: Http.RequestListener, prepare: (server: Http.Server) => void = () => {}) =>
  Effect.acquireRelease(
    Effect.async<{ readonly server: Http.Server; readonly port: number }>((resume) => {
      const server = Http.createServer(answer)
      prepare(server)
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed({ server, port: typeof address === "object" && address !== null ? address.port : 0 }))
      })
    }),
    ({ server }) =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  ).pipe(Effect.map(({ port }) => port))

/** The API: says what it was asked, and takes and gives what is large. */
const api: Http.RequestListener = (request, response) => {
  if (request.url === "/api/large") return response.end(LARGE)
  if (request.url === "/api/stall") {
    const pour = () => {
      while (response.write(CHUNK)) {
        // as long as there is room
      }
    }
    response.on("drain", pour)
    return pour()
  }
  const hash = createHash("sha256")
  let length = 0
  request.on("data", (chunk: Buffer) => {
    hash.update(chunk)
    length += chunk.length
  })
  return request.on("end", () => {
    response.setHeader("set-cookie", ["a=1; Path=/", "b=2; Path=/api"])
    response.setHeader("content-type", "application/json")
    const { headers, method, url } = request
    response.end(JSON.stringify({ method, url, headers, length, sha256: hash.digest("hex") }))
  })
}

interface Answer {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Buffer
}

const ask = (port: number, path: string, options: Http.RequestOptions = {}, body?: Buffer) =>
  Effect.async<Answer, Error>((resume) => {
    const request = Http.request({ host: "127.0.0.1", port, path, agent: false, ...options }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", (error) => resume(Effect.fail(error)))
      response.on("end", () => {
        const { headers, statusCode = 0 } = response
        resume(Effect.succeed({ status: statusCode, headers, body: Buffer.concat(chunks) }))
      })
    })
    request.on("error", (error) => resume(Effect.fail(error)))
    request.end(body)
  })

/** Raw bytes, and what comes back until the end. */
const say = (port: number, bytes: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const socket = yield* Sockets.open(port)
      socket.write(bytes, "latin1")
      return (yield* Sockets.readToEnd(socket)).toString("latin1")
    })
  )

/** A machine whose gateway leads to a site, to the API below /api, to chats below /ws, and nowhere below /dead. */
const gatewayWorld = (options?: World.WorldOptions) =>
  Effect.gen(function* () {
    const pages = yield* site((request, response) => void response.end(`page ${request.url}`))
    const chats = yield* site(
      (_request, response) => void response.writeHead(426).end(),
      (server) => {
        new WebSocketServer({ server }).on("connection", (peer, request) => {
          peer.on("message", (data, isBinary) => peer.send(data, { binary: isBinary }))
          peer.send(`welcome to ${request.url}`)
        })
      }
    )
    const gateway = {
      port: yield* freePort(),
      routes: [
        { path: "/", target: pages },
        { path: "/api", target: yield* site(api) },
        { path: "/ws/", target: chats, strip: true },
        { path: "/dead", target: yield* freePort() }
      ]
    }
    const world = yield* World.make([{ name: "web-01", ports: [pages], gateway }], options)
    return { world, gateway, pages }
  })

describe("a gateway behind the hub", () => {
  it.scopedLive("paths lead to their programs, with what they are told; nothing listens on the machine for it", () =>
    Effect.gen(function* () {
      const { gateway, world } = yield* gatewayWorld()
      assert.match((yield* Effect.flip(Sockets.open(gateway.port))).message, /ECONNREFUSED/)
      const client = yield* world.connect("web-01", { services: 2 })
      const port = client.port("gateway")
      assert.strictEqual(String((yield* ask(port, "/index.html?x=1")).body), "page /index.html?x=1")
      assert.strictEqual(String((yield* ask(port, "/apix")).body), "page /apix")

      const agent = new Http.Agent({ keepAlive: true, maxSockets: 1 })
      yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
      const headers = {
        Host: `localhost:${port}`,
        "User-Agent": "Mozilla/5.0",
        Accept: "text/html,*/*;q=0.8",
        Cookie: "session=1",
        "X-Forwarded-For": "10.9.9.9",
        Connection: "keep-alive"
      }
      for (const path of ["/api/users?page=2", "/api"]) {
        const answer = yield* ask(port, path, { agent, headers })
        const told: unknown = JSON.parse(String(answer.body))
        assert.deepNestedInclude(told, { method: "GET", url: path, length: 0, "headers.cookie": "session=1" })
        assert.deepNestedInclude(told, {
          "headers.host": `localhost:${port}`,
          "headers.x-forwarded-host": `localhost:${port}`,
          "headers.x-forwarded-proto": "http",
          "headers.x-forwarded-for": "unknown"
        })
        assert.deepStrictEqual(answer.headers["set-cookie"], ["a=1; Path=/", "b=2; Path=/api"])
      }
    })
  )

  it.scopedLive("a large upload and a large download arrive whole, one after the other and side by side", () =>
    Effect.gen(function* () {
      const { world } = yield* gatewayWorld()
      const port = (yield* world.connect("web-01", { services: 2 })).port("gateway")
      const up = Effect.map(ask(port, "/api/upload", { method: "POST" }, LARGE), ({ body }) =>
        assert.deepInclude(JSON.parse(String(body)), { length: LARGE.length, sha256: sha256(LARGE) })
      )
      const down = Effect.map(ask(port, "/api/large"), ({ body }) => assert.strictEqual(sha256(body), sha256(LARGE)))
      yield* up
      yield* down
      yield* Effect.all([up, down, up, down], { concurrency: "unbounded" })
    })
  )

  it.scopedLive("a WebSocket passes: echoes of any size, and its end", () =>
    Effect.gen(function* () {
      const { world } = yield* gatewayWorld()
      const port = (yield* world.connect("web-01", { services: 2 })).port("gateway")
      const heard = yield* Queue.unbounded<string>()
      const socket = new WebSocket(`ws://localhost:${port}/ws/room?x=1`)
      yield* Effect.addFinalizer(() => Effect.sync(() => socket.terminate()))
      socket.on("error", (error) => heard.unsafeOffer(error.message))
      socket.on("message", (data: Buffer) => heard.unsafeOffer(String(data)))
      socket.on("close", (code, reason) => heard.unsafeOffer(`closed ${code} ${String(reason)}`))
      assert.strictEqual(yield* Queue.take(heard), "welcome to /room?x=1")
      for (const text of ["ping", "x".repeat(5 * MiB)]) {
        socket.send(text)
        assert.strictEqual(yield* Queue.take(heard), text)
      }
      socket.close(1000, "done")
      assert.strictEqual(yield* Queue.take(heard), "closed 1000 done")
    })
  )

  it.scopedLive("what could be read in two ways is refused, and reaches no program", () =>
    Effect.gen(function* () {
      const { world } = yield* gatewayWorld()
      const port = (yield* world.connect("web-01", { services: 2 })).port("gateway")
      const smuggled = "GET /api/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
      const body = `0\r\n\r\n${smuggled}`
      for (const [sent, status] of [
        [`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n${body}`, 400],
        [`POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n${body}`, 501],
        [`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 6\r\n\r\n${body}`, 400],
        [`GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n${smuggled}`, 400],
        [`POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n${body}`, 400]
      ] as const) {
        const said = yield* say(port, sent)
        assert.match(said, new RegExp(`^HTTP/1\\.1 ${status} `))
        assert.notInclude(said, "/api/smuggled")
        assert.notInclude(said, "page /")
      }
      assert.match(
        yield* say(port, "GET /api/../x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
        /^HTTP\/1\.1 400 /
      )
    })
  )

  it.scopedLive("a page says what is wrong, for a browser and for a program; the agent's log does once", () =>
    Effect.gen(function* () {
      const { gateway, world } = yield* gatewayWorld()
      const port = (yield* world.connect("web-01", { services: 2 })).port("gateway")
      const target = gateway.routes.at(-1)?.target
      const html = yield* ask(port, "/dead/<x>", { headers: { Accept: "text/html" } })
      assert.strictEqual(html.status, 502)
      assert.match(String(html.headers["content-type"]), /^text\/html/)
      assert.include(String(html.body), "<h1>Nothing answers behind /dead</h1>")
      assert.include(String(html.body), `127.0.0.1:${target} refused the connection`)
      const text = yield* ask(port, "/dead")
      assert.match(String(text.body), /^Nothing answers behind \/dead\n/)
      yield* world.agent.expect(new RegExp(`gateway route /dead .*fails: 127\\.0\\.0\\.1:${target} refused`))
      assert.strictEqual(world.agent.output().match(/gateway route \/dead/g)?.length, 1)
    })
  )

  it.scopedLive("grants name it as any other service", () =>
    Effect.gen(function* () {
      const { world } = yield* gatewayWorld({ limited: { "web-01": ["gateway"] } })
      const client = yield* world.connect("web-01")
      assert.deepStrictEqual(
        client.rows.map(({ service }) => service),
        ["gateway"]
      )
      assert.strictEqual(String((yield* ask(client.port("gateway"), "/x")).body), "page /x")

      const other = yield* gatewayWorld({ limited: { "web-01": ["22"] } })
      const refused = yield* Program.outcome(
        Tela.connectCommand(other.world.hub.url, yield* temporaryFolder, {
          machine: "web-01",
          token: other.world.alice,
          args: ["-services", "gateway"]
        })
      )
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, /offers no service that you may use|does not offer you/)
    })
  )

  it.scopedLive("a telad that is stopped says good-bye to idle connections, and does not wait for them", () =>
    Effect.gen(function* () {
      const { world } = yield* gatewayWorld()
      const port = (yield* world.connect("web-01", { services: 2 })).port("gateway")
      const agent = new Http.Agent({ keepAlive: true })
      yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
      yield* ask(port, "/", { agent })
      yield* world.agent.end("SIGTERM", "5 seconds")
      assert.notInclude(world.agent.output(), "end with the agent")
    })
  )
})

describe.skipIf(!Memory.isKnown)("a reader that stalls behind the gateway", () => {
  it.scopedLive("blocks its program, and nobody's memory grows", () =>
    Effect.gen(function* () {
      const { world } = yield* gatewayWorld()
      const client = yield* world.connect("web-01", { services: 2 })
      const port = client.port("gateway")
      const programs = { telahubd: world.hub.program.pid, telad: world.agent.pid, tela: client.program.pid }
      const stalled = Http.get({ host: "127.0.0.1", port, path: "/api/stall", agent: false }, (got) => void got.pause())
      stalled.on("error", () => {})
      yield* Effect.addFinalizer(() => Effect.sync(() => stalled.destroy()))
      const round = Effect.map(ask(port, "/api/upload", { method: "POST" }, ROUND), ({ body }) => {
        assert.deepInclude(JSON.parse(String(body)), { length: ROUND.length })
        return Object.values(programs).map(Memory.resident)
      })
      const rounds = yield* Effect.forEach(Array.from({ length: 9 }), () => round)
      for (const [i, name] of Object.keys(programs).entries()) {
        const seen = rounds.map((each) => each[i] ?? Number.NaN)
        const growth = Math.min(...seen.slice(-3)) - Math.max(...seen.slice(0, 3))
        assert.isBelow(
          growth,
          NOISE,
          `${name}; MiB after each round: ${seen.map((each) => Math.round(each / MiB)).join(" ")}`
        )
      }
    })
  )
})

describe("upstreams of a real telad", () => {
  it.scopedLive("local ports lead elsewhere, each direction to its end, registered or not", () =>
    Effect.gen(function* () {
      const digest = yield* Sockets.serve(Sockets.digest)
      const [port, dead, nowhere] = [yield* freePort(), yield* freePort(), yield* freePort()]
      const machine: Tela.Machine = {
        name: "app-01",
        ports: [22],
        upstreams: [
          { port, target: `localhost:${digest}`, name: "db" },
          { port: dead, target: `127.0.0.1:${nowhere}` }
        ]
      }
      // A hub that is not there: upstreams do not wait for it.
      const folder = yield* Tela.agentFolder(`ws://127.0.0.1:${nowhere}`, "token", [machine])
      const agent = yield* Tela.startAgent(folder, [])
      yield* agent.expect(/upstream db \(localhost:\d+ to localhost:\d+\) is up/)
      yield* agent.expect(new RegExp(`upstream \\(localhost:${dead} to .*\\) is up`))
      const socket = yield* Sockets.open(port)
      socket.end(LARGE)
      assert.strictEqual(String(yield* Sockets.readToEnd(socket)), Sockets.digestOf(LARGE))
      assert.match((yield* Effect.flip(Sockets.open(port, "127.0.0.2"))).message, /ECONNREFUSED/)
      // A connection that is reset at once may never have been seen to stand.
      const ending = Effect.flatMap(Sockets.open(dead), Sockets.closeOf)
      assert.strictEqual(
        yield* Effect.catchAll(ending, ({ message }) => Effect.succeed(message.replace(/.*ECONNRESET.*/, "reset"))),
        "reset"
      )
      yield* agent.expect(new RegExp(`upstream .*fails: 127\\.0\\.0\\.1:${nowhere} refused the connection`))
    })
  )

  it.scopedLive("a telad.yaml that cannot be is refused with line and column", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "telad.yaml")
      const text = "hub: ws://h\nmachines:\n  - name: a\n    gateway: { port: 80, routes: [{ path: x, target: 1 }] }\n"
      Fs.writeFileSync(file, text, { mode: 0o600 })
      const { code, stderr } = yield* Program.outcome({
        command: Tela.bin("telad"),
        args: ["-config", file],
        env: { HOME: folder, TELA_HOME: folder }
      })
      assert.strictEqual(code, 1)
      assert.include(stderr, `${file}:4:37: machines[0].gateway.routes[0].path: expected a path such as /api`)
    })
  )
})
