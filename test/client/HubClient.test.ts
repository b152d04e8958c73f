import * as Http from "node:http"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as HubClient from "../../src/client/HubClient.ts"
import { HTTP_CLIENT_BYTES, HTTP_CLIENT_TIMEOUT } from "../../src/protocol/Limits.ts"
import * as HttpClient from "../../src/transport/HttpClient.ts"

/** A web server that answers as told; its address as a hub's. */
const server = (answer: Http.RequestListener) =>
  Effect.acquireRelease(
    Effect.async<{ readonly hub: string; readonly server: Http.Server }>((resume) => {
      const listening = Http.createServer(answer)
      listening.listen(0, "127.0.0.1", () => {
        const address = listening.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ server: listening, hub: `ws://127.0.0.1:${port}/ws` }))
      })
    }),
    ({ server: listening }) =>
      Effect.async<void>((resume) => {
        listening.closeAllConnections()
        listening.close(() => resume(Effect.void))
      })
  )

const token = Redacted.make("secret-token")
const ask = (hub: string, given: Redacted.Redacted | undefined) =>
  HubClient.status({ hub, token: given }).pipe(Effect.provide(HttpClient.layer))
const status = (hub: string) => ask(hub, token)

const machine = {
  id: "barn",
  displayName: null,
  hostname: "barn.local",
  os: "linux",
  agentVersion: null,
  tags: [],
  location: null,
  owner: null,
  agentConnected: true,
  sessionCount: 2,
  registeredAt: "2026-07-01T00:00:00Z",
  lastSeen: null,
  services: [{ port: 22, proto: "tcp", name: "SSH", description: "" }],
  reachableThrough: { hubId: "x" }
}

describe("HubClient", () => {
  it.scoped("asks as the deployed hub is asked, and reads what it answers", () =>
    Effect.gen(function* () {
      let asked: unknown
      const { hub } = yield* server((request, response) => {
        asked = [request.method, request.url, request.headers.authorization]
        response.setHeader("content-type", "application/json")
        response.end(
          `${JSON.stringify({ machines: [machine], timestamp: "2026-07-01T00:06:00Z", hub: { os: "linux" } })}\n`
        )
      })
      const answer = yield* status(hub)
      assert.deepStrictEqual(asked, ["GET", "/api/status", "Bearer secret-token"])
      assert.strictEqual(answer.machines[0]?.id, "barn")
      assert.strictEqual(answer.machines[0]?.services?.[0]?.name, "SSH")
      yield* ask(hub, undefined)
      assert.deepStrictEqual(asked, ["GET", "/api/status", undefined])
    })
  )

  it.scoped("says what to do about a token that is missing or refused", () =>
    Effect.gen(function* () {
      const { hub } = yield* server((_, response) => {
        response.writeHead(401, { "content-type": "application/json" })
        response.end(`{"error":"auth_required","machines":[]}`)
      })
      const refused = yield* Effect.flip(status(hub))
      assert.strictEqual(refused.kind, "denied")
      assert.match(refused.message, /unknown, expired or revoked$/)
      assert.match((yield* Effect.flip(ask(hub, undefined))).message, /give -token or set TELA_TOKEN$/)
      assert.notInclude(JSON.stringify(refused), "secret-token")
    })
  )

  it.scoped.each([
    [200, "<html>hello</html>"],
    [200, `{"machines":"none"}`],
    [404, "no"],
    [500, ""]
  ] as const)("knows that HTTP %d with %j is no hub", ([code, body]) =>
    Effect.gen(function* () {
      const { hub } = yield* server((_, response) => {
        response.writeHead(code, { location: "http://elsewhere.invalid/" })
        response.end(body)
      })
      const error = yield* Effect.flip(status(hub))
      assert.strictEqual(error.kind, "refused")
      assert.include(error.message, "does not answer as a Tela hub")
    })
  )

  it.scoped("explains a hub that is not there", () =>
    Effect.gen(function* () {
      const { hub } = yield* Effect.scoped(server(() => {}))
      const error = yield* Effect.flip(status(hub))
      assert.strictEqual(error.kind, "unreachable")
      assert.match(error.message, /cannot reach ws:.*: nothing listens there/)
    })
  )

  it.scoped("stops taking an answer that does not end", () =>
    Effect.gen(function* () {
      let sent = 0
      const { hub } = yield* server((_, response) => {
        const chunk = Buffer.alloc(1024 * 1024, 32)
        const more = () => {
          while (!response.destroyed && response.write(chunk)) sent += chunk.length
        }
        response.on("drain", more)
        response.on("error", () => {})
        more()
      })
      assert.match((yield* Effect.flip(status(hub))).message, /the answer is larger than/)
      assert.isBelow(sent, HTTP_CLIENT_BYTES * 2)
    })
  )

  it.scoped("stops waiting for an answer that does not come", () =>
    Effect.gen(function* () {
      let arrived = () => {}
      const request = new Promise<void>((resolve) => (arrived = resolve))
      const { hub } = yield* server(() => arrived())
      const asking = yield* Effect.fork(Effect.flip(status(hub)))
      yield* Effect.promise(() => request)
      yield* TestClock.adjust(HTTP_CLIENT_TIMEOUT)
      assert.match((yield* Fiber.join(asking)).message, /no answer within 10 s/)
    })
  )
})
