import { execFileSync } from "node:child_process"
import * as Https from "node:https"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { tcp, startHub } from "../harness.ts"
import { logLines } from "../../support/logLines.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { send, sendNow, start } from "./administered.ts"

const paths = ["/api/admin/tokens", "/api/admin/access", "/api/admin/access/alice", "/api/admin/explain", "/api/whoami"]

describe("other sites' pages", () => {
  it.scoped("learn nothing from the administration, whatever their origin", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const origin = "https://evil.example"
      for (const path of [...paths, "/api/admin/pair-code", "/api/pair", "/api/openapi.json", "/nope"]) {
        for (const method of ["GET", "OPTIONS"]) {
          const { headers } = yield* send(hub, method, path, { as: "olga", headers: { origin } })
          const shared = [...headers.keys()].filter((name) => name.startsWith("access-control-"))
          assert.deepStrictEqual(shared, [], `${method} ${path}`)
        }
      }
    })
  )

  it.scoped("may read what needs a token that they must have", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      for (const path of ["/api/status", "/status", "/api/admin/status", "/api/history", "/api/admin/history"]) {
        for (const [method, status] of [
          ["GET", 200],
          ["OPTIONS", 204]
        ] as const) {
          const answer = yield* send(hub, method, path, { as: "alice" })
          assert.strictEqual(answer.status, status)
          assert.strictEqual(answer.headers.get("access-control-allow-origin"), "*")
          assert.isNull(answer.headers.get("access-control-allow-credentials"))
        }
      }
    })
  )

  it.scoped(
    "are not told beforehand what they may do with the administration, and nobody that they may with codes",
    () =>
      Effect.gen(function* () {
        const hub = yield* start()
        for (const path of paths) {
          const { status, text } = yield* send(hub, "OPTIONS", path)
          assert.strictEqual(status, 204)
          assert.strictEqual(text, "")
        }
        for (const path of ["/api/pair", "/api/admin/pair-code"]) {
          assert.strictEqual((yield* send(hub, "OPTIONS", path)).status, 405)
        }
      })
  )

  it.scoped("every answer keeps browsers from guessing, framing and telling", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const answers = [
        yield* send(hub, "GET", "/"),
        yield* send(hub, "GET", "/healthz"),
        yield* send(hub, "GET", "/nope"),
        yield* send(hub, "PUT", "/api/status"),
        yield* send(hub, "OPTIONS", "/api/status"),
        yield* send(hub, "GET", "/api/admin/tokens"),
        yield* send(hub, "GET", "/api/admin/tokens", { as: "olga" }),
        yield* send(hub, "POST", "/api/pair", { body: "x".repeat(100_000) })
      ]
      for (const { headers } of answers) {
        assert.strictEqual(headers.get("x-content-type-options"), "nosniff")
        assert.strictEqual(headers.get("referrer-policy"), "no-referrer")
        assert.strictEqual(headers.get("x-frame-options"), "DENY")
        assert.include(headers.get("content-security-policy") ?? "", "frame-ancestors 'none'")
        // Only a hub that serves TLS itself can promise it.
        assert.isNull(headers.get("strict-transport-security"))
      }
    })
  )
})

/** Headers of an answer over TLS that nobody vouches for. */
const headersOverTls = (url: string) =>
  Effect.async<Https.RequestOptions["headers"]>((resume) => {
    Https.get(url, { rejectUnauthorized: false, agent: false }, (response) => {
      response.resume()
      resume(Effect.succeed(response.headers))
    })
  })

describe("a hub that serves TLS", () => {
  it.scoped("keeps browsers on it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const tls = { cert: Path.join(folder, "hub.crt"), key: Path.join(folder, "hub.key") }
      const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=h"]
      execFileSync("openssl", ["req", "-x509", ...curve, "-keyout", tls.key, "-out", tls.cert], { stdio: "ignore" })
      const hub = yield* start({ tls })
      for (const path of ["/", "/api/whoami", "/nope"]) {
        const headers = yield* headersOverTls(`${hub.url}${path}`)
        assert.deepInclude(headers, { "strict-transport-security": "max-age=31536000", "x-frame-options": "DENY" })
      }
    })
  )
})

/** A request of the owner's whose path goes out as it stands here: fetch would resolve it first. */
const sendRaw = (hub: { readonly url: string }, method: string, path: string) =>
  Effect.gen(function* () {
    yield* TestClock.adjust("1 second")
    const { ended, socket } = yield* tcp({ port: Number(new URL(hub.url).port) })
    const headers = "Host: h\r\nAuthorization: Bearer olga-token\r\nContent-Length: 0\r\nConnection: close"
    socket.write(`${method} ${path} HTTP/1.1\r\n${headers}\r\n\r\n`)
    return yield* ended
  })

describe("requests that no endpoint takes", () => {
  it.scoped("are answered 405 with what is allowed, or 404, in JSON", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const wrong = [
        ["DELETE", "/api/admin/tokens", "GET, HEAD, POST, OPTIONS"],
        ["GET", "/api/admin/tokens/alice/revoke", "POST, OPTIONS"],
        ["GET", "/api/admin/rotate/alice", "POST, OPTIONS"],
        ["POST", "/api/admin/access", "GET, HEAD, OPTIONS"],
        ["POST", "/api/admin/access/alice", "GET, HEAD, PATCH, DELETE, OPTIONS"],
        ["GET", "/api/admin/access/alice/machines/barn", "PUT, DELETE, OPTIONS"],
        ["POST", "/api/admin/explain", "GET, HEAD, OPTIONS"],
        ["PUT", "/api/admin/pair-code", "GET, HEAD, POST"],
        ["GET", "/api/pair", "POST"],
        ["POST", "/api/whoami", "GET, HEAD, OPTIONS"],
        ["POST", "/api/history", "GET, HEAD, OPTIONS"],
        ["POST", "/api/openapi.json", "GET, HEAD, OPTIONS"],
        ["DELETE", "/", "GET, HEAD, OPTIONS"]
      ] as const
      for (const [method, path, allow] of wrong) {
        const answer = yield* send(hub, method, path, { as: "olga" })
        assert.strictEqual(answer.status, 405, `${method} ${path}`)
        const allowed = (text: string) => text.split(", ").toSorted()
        assert.deepStrictEqual(allowed(answer.headers.get("allow") ?? ""), allowed(allow), `${method} ${path}`)
        assert.isString(answer.json["error"])
      }
      for (const path of ["/api", "/api/admin", "/api/admin/tokens/alice", "/api/admin/rotate/", "/API/ADMIN/TOKENS"]) {
        const answer = yield* send(hub, "GET", path, { as: "olga" })
        assert.strictEqual(answer.status, 404, path)
        assert.strictEqual(answer.text, '{"error":"not found"}\n')
      }
      // Methods that no route has.
      for (const method of ["PROPFIND", "TRACE"]) {
        const unknown = yield* sendRaw(hub, method, "/api/admin/tokens")
        assert.match(unknown, /^HTTP\/1\.1 405 /, method)
        assert.match(unknown, /^allow: GET, HEAD, POST, OPTIONS\r$/im, method)
      }
      const garbled = yield* send(hub, "GET", "/api/admin/access/%zz", { as: "olga" })
      assert.strictEqual(garbled.status, 400)
    })
  )

  it.scoped("are answered 400 when their path would be read as another one, and nothing is done", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const before = hub.snapshot()
      for (const [method, path] of [
        ["DELETE", "/api/admin/access/alice/machines/.."],
        ["DELETE", "/api/admin/access/alice/machines/%2e%2e"],
        ["DELETE", "/api/admin/access/alice/machines/.%2E"],
        ["DELETE", "/api/admin/access/alice/machines/%2e."],
        ["DELETE", "/api/admin/access/alice/machines/barn/."],
        ["DELETE", "/api/admin/access/./alice"],
        ["DELETE", "/api/admin/access/bob/%2E%2E/alice"],
        ["DELETE", "/api/admin/access\\alice"],
        ["DELETE", "/api/admin/access/alice#bob"],
        ["POST", "/api/admin/rotate/bob/../alice"],
        ["POST", "/api/pair/../admin/tokens/alice/revoke"]
      ] as const) {
        const answer = yield* sendRaw(hub, method, path)
        assert.match(answer, /^HTTP\/1\.1 400 /, `${method} ${path}`)
        assert.match(answer, /"error":"the path has/, `${method} ${path}`)
      }
      assert.strictEqual(hub.snapshot(), before)
    })
  )

  it.scoped("are read to the end: a semicolon is no end of the path, nor a second question mark one of the query", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      for (const id of ["alice;v2", "a?b"]) yield* send(hub, "POST", "/api/admin/tokens", { as: "olga", body: { id } })
      assert.match(yield* sendRaw(hub, "DELETE", "/api/admin/access/alice;v2"), /"id":"alice;v2"/)
      const { access } = (yield* send(hub, "GET", "/api/admin/access", { as: "olga" })).json
      assert.notInclude(JSON.stringify(access), "alice;v2")
      assert.include(JSON.stringify(access), '"alice"')
      const explained = yield* send(hub, "GET", "/api/admin/explain?id=a?b&permission=admin", { as: "olga" })
      assert.match(String(explained.json["rule"]), /user/)
      const late = yield* send(hub, "GET", "/api/status?machine=a?b&token=olga-token")
      assert.strictEqual(late.status, 200)
    })
  )

  it.scoped("are answered 400 when they say something twice", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const twice = yield* send(hub, "GET", "/api/history?limit=1&limit=2", { as: "alice" })
      assert.strictEqual(twice.status, 400)
      assert.strictEqual(twice.text, '{"error":"the address has \\"limit\\" twice; say it once"}\n')
    })
  )

  it.scoped("are answered 413 when they are too long, and read no further", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const before = hub.snapshot()
      const body = JSON.stringify({ id: "carol", role: "x".repeat(70_000) })
      for (const [method, path] of [
        ["POST", "/api/admin/tokens"],
        ["PUT", "/api/admin/access/alice/machines/barn"],
        ["PATCH", "/api/admin/access/alice"],
        ["POST", "/api/admin/pair-code"],
        ["POST", "/api/pair"]
      ] as const) {
        const answer = yield* send(hub, method, path, { as: "olga", body })
        assert.strictEqual(answer.status, 413)
        assert.match(String(answer.json["error"]), /at most 65536 bytes/)
      }
      assert.strictEqual(hub.snapshot(), before)
      const fits = yield* send(hub, "POST", "/api/admin/tokens", {
        as: "olga",
        body: { id: "carol", unheardOf: "x".repeat(60_000) }
      })
      assert.strictEqual(fits.status, 201)
    })
  )

  it.scoped("that would become WebSockets on a path of the interface are refused", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      for (const path of ["/api/pair", "/api/admin/tokens", "/api/admin/access/alice/machines/barn"]) {
        const { ended, socket } = yield* tcp(hub)
        socket.write(
          `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert.match(yield* ended, /^HTTP\/1\.1 400 /)
      }
    })
  )
})

describe("who ends their half of the connection", () => {
  const head = "host: hub\r\nauthorization: Bearer olga-token\r\n"

  it.scoped("once they have asked are answered, those who change something too", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const port = Number(new URL(hub.url).port)
      const reading = yield* tcp({ port })
      reading.socket.end(`GET /api/admin/access/alice HTTP/1.1\r\n${head}\r\n`)
      assert.match(yield* reading.ended, /^HTTP\/1\.1 200 [^]*"id":"alice"/)
      const changing = yield* tcp({ port })
      const body = JSON.stringify({ permissions: ["connect"] })
      changing.socket.end(
        `PUT /api/admin/access/alice/machines/mill HTTP/1.1\r\n${head}content-length: ${body.length}\r\n\r\n${body}`
      )
      assert.match(yield* changing.ended, /^HTTP\/1\.1 200 [^]*"updated"/)
    })
  )

  it.scoped("before they have asked are let go", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const port = Number(new URL(hub.url).port)
      for (const begun of [
        "",
        "GET /api/admin",
        `PUT /api/admin/access/alice HTTP/1.1\r\n${head}content-length: 9\r\n\r\n{`
      ]) {
        const peer = yield* tcp({ port })
        peer.socket.end(begun)
        assert.notMatch(yield* peer.ended, /^HTTP\/1\.1 2/, begun)
      }
    })
  )
})

describe("how often", () => {
  it.scoped("an identity is answered by its own rate, whatever its address", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const ask = (as: string) => Effect.map(sendNow(hub, "GET", "/api/whoami", { as }), ({ status }) => status)
      const first = yield* Effect.replicateEffect(ask("alice"), 200)
      assert.isTrue(first.every((status) => status === 200))
      const refused = yield* sendNow(hub, "GET", "/api/whoami", { as: "alice" })
      assert.strictEqual(refused.status, 429)
      assert.strictEqual(refused.headers.get("retry-after"), "1")
      assert.match(String(refused.json["error"]), /too many requests from alice; try again in 1 s/)
      assert.strictEqual(yield* ask("bob"), 200)
      // Nor does another path, name or spelling of it help.
      for (const path of [
        "/api/status",
        "/status",
        "/api/history",
        "/api/admin/tokens",
        "/api/admin/tokens/",
        "/nope"
      ]) {
        assert.strictEqual((yield* sendNow(hub, "GET", path, { as: "alice" })).status, 429)
      }
      yield* TestClock.adjust("1 second")
      const later = yield* Effect.replicateEffect(ask("alice"), 51)
      assert.deepStrictEqual(later.map((status) => status === 200).lastIndexOf(true), 49)
    })
  )

  it.scoped("tokens can be guessed from an address, which takes nothing from those who have one", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const guess = Effect.suspend(() => sendNow(hub, "GET", "/api/admin/tokens", { as: String(Math.random()) }))
      const statuses = (yield* Effect.replicateEffect(guess, 60)).map(({ status }) => status)
      assert.strictEqual(statuses.lastIndexOf(401), 29)
      assert.strictEqual(statuses.filter((status) => status === 429).length, 30)
      assert.strictEqual((yield* sendNow(hub, "GET", "/api/admin/tokens", { as: "olga" })).status, 200)
      // What watches over a hub is always answered.
      for (const path of ["/healthz", "/readyz", "/.well-known/tela", "/"]) {
        assert.strictEqual((yield* sendNow(hub, "GET", path)).status, 200)
      }
      yield* TestClock.adjust("1 second")
      const later = (yield* Effect.replicateEffect(guess, 10)).map(({ status }) => status)
      assert.strictEqual(later.lastIndexOf(401), 4)
    })
  )

  it.scoped("an address counts as the trusted proxy tells it", () =>
    Effect.gen(function* () {
      const hub = yield* start({ trustedProxies: ["127.0.0.1"] })
      const from = (address: string) =>
        Effect.map(
          sendNow(hub, "GET", "/api/whoami", { headers: { "x-forwarded-for": address } }),
          ({ status }) => status
        )
      yield* Effect.replicateEffect(from("192.0.2.1"), 30)
      assert.strictEqual(yield* from("192.0.2.1"), 429)
      assert.strictEqual(yield* from("192.0.2.2"), 401)
    })
  )
})

describe("a token in the address", () => {
  it.scoped("works where it always did, and is warned of now and then, without the token", () =>
    Effect.gen(function* () {
      const { layer, taken } = yield* logLines
      yield* Effect.gen(function* () {
        const hub = yield* start()
        for (let n = 0; n < 5; n++) {
          assert.strictEqual((yield* send(hub, "GET", "/api/history?token=alice-token")).status, 200)
        }
      }).pipe(Effect.provide(layer))
      const warnings = (yield* taken).filter((line) => line.includes("token"))
      assert.strictEqual(warnings.length, 1)
      assert.notInclude(warnings.join(), "alice-token")
    })
  )
})

describe("/api/openapi.json", () => {
  it.scoped("describes every endpoint, and which need a token", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const { headers, json, status, text } = yield* send(hub, "GET", "/api/openapi.json")
      assert.strictEqual(status, 200)
      assert.strictEqual(headers.get("content-type"), "application/json")
      assert.strictEqual(json["openapi"], "3.1.0")
      assert.deepInclude(json["info"], { title: "Tela hub", version: "1.1" })
      assert.deepNestedInclude(json, { "components.securitySchemes.bearer.scheme": "bearer" })
      const documented = Object.entries(json["paths"] ?? {})
      assert.includeMembers(
        documented.map(([path]) => path),
        ["/api/status", "/api/admin/tokens", "/api/admin/access/{id}/machines/{machine}", "/api/pair", "/api/whoami"]
      )
      for (const [path, operations] of documented) {
        const open =
          path.startsWith("/channels") || ["/healthz", "/readyz", "/.well-known/tela", "/api/pair"].includes(path)
        for (const [method, operation] of Object.entries<object>(operations)) {
          assert.deepInclude(operation, { security: open ? [] : [{ bearer: [] }] }, `${method} ${path}`)
        }
      }
      assert.notInclude(text, '"authorization"')
    })
  )
})
