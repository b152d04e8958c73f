import { assert, describe, it } from "@effect/vitest"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Api from "../../src/hub/Api.ts"
import * as Authority from "../../src/hub/Authority.ts"
import * as Directory from "../../src/hub/Directory.ts"
import * as Management from "../../src/hub/Management.ts"
import * as Sessions from "../../src/hub/Sessions.ts"
import { makeSnapshot } from "../../src/policy/Identity.ts"
import { WellKnown } from "../../src/protocol/HubApi.ts"
import * as AuditMemory from "../../src/store/AuditMemory.ts"
import { layerMemory } from "../../src/store/IdentityStore.ts"
import * as PairCodesMemory from "../../src/store/PairCodesMemory.ts"
import { agentOf, ask, get, identity, startHub, statusOf } from "./harness.ts"

const machinesSeenBy = (hub: { readonly url: string }, token: string) =>
  Effect.map(statusOf(hub, token), ({ machines }) => machines.map(({ id }) => id))

const headersOf = (hub: { readonly url: string }, path: string, init: RequestInit) =>
  Effect.promise(() => fetch(`${hub.url}${path}`, init))

describe("/api/status", () => {
  it.scoped("asks for a token, under each of its names", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      for (const path of ["/api/status", "/status", "/api/admin/status"]) {
        for (const token of [undefined, "wrong", "", "expired-token"]) {
          const { body, headers, status } = yield* get(hub, path, token)
          assert.strictEqual(status, 401)
          assert.strictEqual(body, '{"error":"auth_required","machines":[]}\n')
          assert.strictEqual(headers.get("access-control-allow-origin"), "*")
        }
        const { body, headers, status } = yield* get(hub, path, "nobody-token")
        assert.strictEqual(status, 200)
        assert.strictEqual(headers.get("content-type"), "application/json")
        assert.strictEqual(headers.get("cache-control"), "no-store")
        assert.strictEqual(headers.get("x-content-type-options"), "nosniff")
        assert.match(body, /^\{\n {2}"hub": \{\n[^]*\n\}\n$/)
      }
    })
  )

  it.scoped("shows a machine as its agent told of it, completed", () =>
    Effect.gen(function* () {
      const hub = yield* startHub({ name: "owlsnest" })
      const agent = yield* agentOf(hub, {
        services: [{ port: 22 }, { port: 0 }, { port: 9000, proto: "TCP", name: "app" }]
      })
      yield* ask(hub, agent)
      const { hub: about, hubId, hubName, machines } = yield* statusOf(hub, "alice-token")
      assert.strictEqual(hubName, "owlsnest")
      assert.strictEqual(hubId, "test-hub")
      assert.strictEqual(about?.version, "v1.2.3")
      const [machine] = machines
      assert.deepStrictEqual(machine?.services, [
        { port: 22, proto: "tcp", name: "SSH", description: "" },
        { port: 9000, proto: "tcp", name: "app", description: "" }
      ])
      assert.strictEqual(machine?.sessionCount, 1)
      assert.isTrue(machine?.agentConnected)
      assert.deepStrictEqual(machine?.tags, [])
      assert.isNull(machine?.location)
      assert.deepStrictEqual(machine?.capabilities, { management: true })
      assert.match(machine?.registeredAt ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
      const { body } = yield* get(hub, "/api/status", "owner-token")
      assert.notInclude(body, "agent-token")
      agent.ws.close()
      yield* agent.closed
      const after = yield* statusOf(hub, "alice-token")
      assert.isFalse(after.machines[0]?.agentConnected)
    })
  )

  it.scoped("leaves out what the identity may not see, machines and services", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      yield* agentOf(hub, { capabilities: null })
      yield* agentOf(hub, { machineName: "mill" })
      assert.deepStrictEqual(yield* machinesSeenBy(hub, "owner-token"), ["barn", "mill"])
      assert.deepStrictEqual(yield* machinesSeenBy(hub, "console-viewer-token"), ["barn", "mill"])
      assert.deepStrictEqual(yield* machinesSeenBy(hub, "alice-token"), ["barn"])
      assert.deepStrictEqual(yield* machinesSeenBy(hub, "agent-token"), [])
      const { machines } = yield* statusOf(hub, "sshonly-token")
      assert.deepStrictEqual(
        machines.flatMap(({ services }) => services?.map(({ port }) => port)),
        [22]
      )
    })
  )

  it.scoped("takes the header, else the cookie, else the query; the first that is there counts alone", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const as = (path: string, headers: Record<string, string>) =>
        Effect.map(headersOf(hub, path, { headers }), ({ status }) => status)
      const good = "owner-token"
      assert.strictEqual(yield* as("/api/status", { cookie: `tela_viewer=${good}` }), 200)
      assert.strictEqual(yield* as(`/api/status?token=${good}`, {}), 200)
      assert.strictEqual(yield* as(`/api/status?token=${good}`, { cookie: "tela_viewer=stale" }), 401)
      assert.strictEqual(yield* as(`/api/status?token=${good}`, { authorization: "Bearer wrong" }), 401)
      assert.strictEqual(yield* as("/api/status", { authorization: "Bearer ", cookie: `tela_viewer=${good}` }), 401)
      assert.strictEqual(yield* as("/api/status", { authorization: `bearer ${good}` }), 401)
      const hashed = identity("owner").tokenHash
      assert.strictEqual(yield* as("/api/status", { authorization: `Bearer ${hashed}` }), 401)
    })
  )
})

describe("other routes", () => {
  it.scoped("say what the hub is, and that it is well", () =>
    Effect.gen(function* () {
      const hub = yield* startHub({ name: "<b>" })
      const known = yield* get(hub, "/.well-known/tela")
      assert.deepStrictEqual(yield* Schema.decodeUnknown(Schema.parseJson(WellKnown))(known.body), {
        capabilities: ["per-service-access-control"],
        hubId: "test-hub",
        protocolVersion: "1.1",
        supportedVersions: ["1.1"]
      })
      for (const path of ["/healthz", "/readyz"]) assert.strictEqual((yield* get(hub, path)).body, "ok\n")
      const page = yield* get(hub, "/")
      assert.include(page.body, "Tela hub")
      assert.notInclude(page.body, "<b>")
      assert.include(page.headers.get("content-security-policy") ?? "", "default-src 'none'")
    })
  )

  it.scoped("say 503 while the hub takes no connections", () =>
    Effect.gen(function* () {
      const about = { hubId: "", name: "", version: "", startedAt: 0 }
      const app = yield* Api.make({ about, isReady: () => false })
      const request = HttpServerRequest.fromWeb(new Request("http://hub/readyz"))
      const answer = yield* Effect.provideService(app, HttpServerRequest.HttpServerRequest, request)
      assert.strictEqual(answer.status, 503)
    }).pipe(
      Effect.provide([Authority.layer, Directory.layer, Management.layer, Sessions.layer("00000000")]),
      Effect.provide([layerMemory(makeSnapshot(1, [], [])), AuditMemory.layer, PairCodesMemory.layer])
    )
  )

  it.scoped("answer HEAD, OPTIONS, unknown paths and wrong methods as they should", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const head = yield* headersOf(hub, "/.well-known/tela", { method: "HEAD" })
      assert.strictEqual(head.status, 200)
      assert.isAbove(Number(head.headers.get("content-length")), 0)
      const preflight = yield* headersOf(hub, "/api/status", { method: "OPTIONS" })
      assert.strictEqual(preflight.status, 204)
      assert.strictEqual(preflight.headers.get("access-control-allow-origin"), "*")
      const missing = yield* get(hub, "/api/hubs")
      assert.strictEqual(missing.status, 404)
      assert.strictEqual(missing.body, '{"error":"not found"}\n')
      const wrong = yield* headersOf(hub, "/.well-known/tela", { method: "DELETE" })
      assert.strictEqual(wrong.status, 405)
    })
  )
})
