import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { agentOf } from "../harness.ts"
import { send, start } from "./administered.ts"

const admin = { as: "adam" }
const HEX = /^[0-9a-f]{64}$/
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/** What the deployed hub answers to the deployed tools (spec: hub-api 1.5 to 1.9), with ours added to it and nothing taken. */
describe("answers as deployed tools know them", () => {
  it.scoped("tokens: list, add, revoke, rotate", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const added = yield* send(hub, "POST", "/api/admin/tokens", { ...admin, body: { id: "carol", unheardOf: 1 } })
      assert.strictEqual(added.status, 201)
      assert.strictEqual(added.headers.get("etag"), '"1"')
      const { token, ...rest } = added.json
      assert.deepStrictEqual(rest, { id: "carol", role: "", version: 1 })
      assert.match(String(token), HEX)

      const whole = yield* send(hub, "POST", "/api/admin/tokens", {
        ...admin,
        body: { id: "dave", role: "admin", expiresAt: "2027-02-01T12:00:00+01:00" }
      })
      assert.strictEqual(whole.json["role"], "admin")
      assert.strictEqual(whole.json["expiresAt"], "2027-02-01T11:00:00Z")
      const userByName = yield* send(hub, "POST", "/api/admin/tokens", { ...admin, body: { id: "erin", role: "user" } })
      assert.strictEqual(userByName.status, 201)

      const { json } = yield* send(hub, "GET", "/api/admin/tokens", admin)
      assert.isArray(json["tokens"])
      const tokens: ReadonlyArray<Record<string, unknown>> = Array.isArray(json["tokens"]) ? json["tokens"] : []
      const ids = tokens.map(({ id }) => String(id))
      assert.deepStrictEqual(ids, ids.toSorted())
      const carol = tokens.find(({ id }) => id === "carol")
      assert.strictEqual(carol?.["role"], "user")
      assert.strictEqual(carol?.["tokenPreview"], `${String(token).slice(0, 8)}...`)
      assert.match(String(carol?.["issuedAt"]), TIME)
      assert.deepStrictEqual(
        tokens.find(({ id }) => id === "olga"),
        { id: "olga", role: "owner", tokenPreview: "0123abcd..." }
      )

      const revoked = yield* send(hub, "POST", "/api/admin/tokens/carol/revoke", admin)
      assert.strictEqual(revoked.headers.get("etag"), '"2"')
      const { revokedAt } = revoked.json
      assert.deepStrictEqual(revoked.json, { status: "revoked", id: "carol", revokedAt, version: 2 })
      const before = hub.snapshot()
      const again = yield* send(hub, "POST", "/api/admin/tokens/carol/revoke", admin)
      assert.strictEqual(again.status, 200)
      assert.deepStrictEqual(again.json, { status: "already-revoked", id: "carol", revokedAt })
      assert.isNull(again.headers.get("etag"))
      assert.strictEqual(hub.snapshot(), before)

      const rotated = yield* send(hub, "POST", "/api/admin/rotate/carol", admin)
      assert.strictEqual(rotated.headers.get("etag"), '"3"')
      assert.deepStrictEqual({ ...rotated.json, token: "" }, { status: "rotated", id: "carol", token: "", version: 3 })
      const bearer = (secret: unknown) => ({ headers: { authorization: `Bearer ${String(secret)}` } })
      assert.strictEqual((yield* send(hub, "GET", "/api/whoami", bearer(token))).status, 401)
      assert.strictEqual((yield* send(hub, "GET", "/api/whoami", bearer(rotated.json["token"]))).status, 200)
    })
  )

  it.scoped("access: entries", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const entryOf = (id: string) =>
        Effect.map(send(hub, "GET", `/api/admin/access/${id}`, admin), ({ headers, json }) => {
          assert.strictEqual(headers.get("etag"), '"1"')
          return json
        })
      assert.deepStrictEqual(yield* entryOf("olga"), {
        id: "olga",
        role: "owner",
        tokenPreview: "0123abcd...",
        machines: [{ machineId: "*", permissions: ["register", "connect", "manage"] }],
        version: 1
      })
      assert.deepStrictEqual((yield* entryOf("alice"))["machines"], [{ machineId: "barn", permissions: ["connect"] }])
      const bob = yield* entryOf("bob")
      // A grant that has expired gives nothing.
      assert.deepStrictEqual(bob["machines"], [
        { machineId: "*", permissions: ["connect"], services: ["ssh"] },
        { machineId: "mill", permissions: ["manage"], expiresAt: "2027-01-31T12:01:00Z" }
      ])
      assert.deepStrictEqual(bob["wildcardInherited"], ["connect"])
      assert.deepStrictEqual(bob["wildcardInheritedServices"], ["ssh"])
      const { json } = yield* send(hub, "GET", "/api/admin/access/", admin)
      const entries: ReadonlyArray<Record<string, unknown>> = Array.isArray(json["access"]) ? json["access"] : []
      assert.strictEqual(entries.length, 8)
      assert.deepStrictEqual(entries[3], bob)
    })
  )

  it.scoped("access: changing, removing, granting, taking away", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const grantTo = (body: object, machine = "barn", id = "alice") =>
        send(hub, "PUT", `/api/admin/access/${id}/machines/${machine}`, { ...admin, body })
      const granted = yield* grantTo({
        permissions: ["manage", "connect"],
        services: ["ssh", "port-5432"],
        expiresAt: "2h"
      })
      assert.strictEqual(granted.headers.get("etag"), '"2"')
      const { expiresAt, ...rest } = granted.json
      assert.deepStrictEqual(rest, {
        status: "updated",
        id: "alice",
        machineId: "barn",
        permissions: ["manage", "connect"],
        version: 2,
        services: ["ssh", "5432"],
        replaced: { machineId: "barn", permissions: ["connect"] },
        machineKnown: false
      })
      assert.match(String(expiresAt), TIME)
      yield* agentOf(hub)
      const onEvery = yield* grantTo({ permissions: ["register"] }, "*")
      assert.isNull(onEvery.json["replaced"])
      assert.isTrue(onEvery.json["machineKnown"])
      assert.isFalse("services" in onEvery.json)
      // Nobody else's grants: the agent's right to be barn stays.
      const known = yield* grantTo({ permissions: ["register"], services: [] })
      assert.isTrue(known.json["machineKnown"])
      const agent = yield* send(hub, "GET", "/api/admin/access/agent", admin)
      assert.deepStrictEqual(agent.json["machines"], [{ machineId: "barn", permissions: ["register"] }])
      const none = yield* grantTo({ permissions: [] })
      assert.strictEqual(none.status, 200)
      const left = yield* send(hub, "GET", "/api/admin/access/alice", admin)
      assert.deepStrictEqual(left.json["machines"], [{ machineId: "*", permissions: ["register"] }])

      const taken = yield* send(hub, "DELETE", "/api/admin/access/alice/machines/*", admin)
      assert.strictEqual(taken.headers.get("etag"), '"6"')
      assert.deepStrictEqual(taken.json, { status: "revoked", id: "alice", machineId: "*", version: 6 })

      const renamed = yield* send(hub, "PATCH", "/api/admin/access/alice", {
        ...admin,
        body: { id: "alicia", role: "admin" }
      })
      assert.strictEqual(renamed.headers.get("etag"), '"7"')
      assert.deepStrictEqual(renamed.json, { status: "updated", id: "alicia", version: 7 })
      assert.strictEqual((yield* send(hub, "GET", "/api/whoami", { as: "alice" })).json["id"], "alicia")
      const expiring = yield* send(hub, "PATCH", "/api/admin/access/alicia", { ...admin, body: { expiresAt: "30d" } })
      assert.strictEqual(expiring.status, 200)
      const lasting = yield* send(hub, "PATCH", "/api/admin/access/alicia", {
        ...admin,
        body: { role: "", expiresAt: null }
      })
      assert.strictEqual(lasting.json["version"], 9)
      const { json } = yield* send(hub, "GET", "/api/admin/access/alicia", admin)
      assert.strictEqual(json["role"], "user")
      assert.isFalse("expiresAt" in json)

      const removed = yield* send(hub, "DELETE", "/api/admin/access/alicia", admin)
      assert.deepStrictEqual(removed.json, { status: "removed", id: "alicia" })
      assert.isNull(removed.headers.get("etag"))
      assert.strictEqual((yield* send(hub, "GET", "/api/whoami", { as: "alice" })).status, 401)
    })
  )

  it.scoped("takes a machine whose name no new one may have, when it is there", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      yield* send(hub, "PUT", "/api/admin/access/agent/machines/*", { ...admin, body: { permissions: ["register"] } })
      yield* agentOf(hub, { machineName: "Barn PC" })
      const granted = yield* send(hub, "PUT", "/api/admin/access/alice/machines/Barn%20PC", {
        ...admin,
        body: { permissions: ["connect"] }
      })
      assert.strictEqual(granted.status, 200)
      assert.strictEqual(granted.json["machineId"], "Barn PC")
    })
  )

  it.scoped("an id of any length reaches its identity", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const id = "é".repeat(128)
      yield* send(hub, "POST", "/api/admin/tokens", { ...admin, body: { id } })
      const entry = yield* send(hub, "GET", `/api/admin/access/${encodeURIComponent(id)}`, admin)
      assert.strictEqual(entry.json["id"], id)
    })
  )

  it.scoped("explains with the rule that decides, at any time", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const explain = (query: string) =>
        Effect.map(send(hub, "GET", `/api/admin/explain?${query}`, admin), ({ json }) => json)
      const open = yield* explain("id=bob&machine=barn&permission=connect&service=SSH")
      assert.isTrue(open["permit"])
      assert.strictEqual(open["rule"], "bob has connect on * for ssh")
      assert.deepStrictEqual(open["services"], ["ssh"])
      assert.strictEqual(open["until"], "2027-01-31T13:00:00Z")
      const other = yield* explain("id=bob&machine=barn&permission=connect&service=5432")
      assert.isFalse(other["permit"])
      const later = yield* explain("id=bob&machine=mill&permission=manage&at=2h")
      assert.isFalse(later["permit"])
      assert.match(String(later["rule"]), /expired/)
      assert.isTrue((yield* explain("id=bob&machine=mill&permission=manage"))["permit"])
      assert.isTrue((yield* explain("id=adam&permission=admin"))["permit"])
      assert.isFalse((yield* explain("id=gone&machine=barn&permission=connect"))["permit"])
    })
  )

  it.scoped("tells an identity who it is", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const { json } = yield* send(hub, "GET", "/api/whoami", { as: "alice" })
      assert.deepStrictEqual(json, {
        id: "alice",
        role: "user",
        issuedAt: "2027-01-31T11:59:00Z",
        machines: [{ machineId: "barn", permissions: ["connect"] }]
      })
      assert.strictEqual((yield* send(hub, "GET", "/api/whoami")).status, 401)
    })
  )
})
