import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { identityOf } from "../../../src/policy/Identity.ts"
import { send, sendNow, start } from "./administered.ts"

const admin = { as: "adam" }

/** Requests that change alice, each of which honours If-Match. */
const changes = [
  ["POST", "/api/admin/tokens/alice/revoke", {}],
  ["POST", "/api/admin/rotate/alice", {}],
  ["PATCH", "/api/admin/access/alice", { body: { role: "admin" } }],
  ["DELETE", "/api/admin/access/alice", {}],
  ["PUT", "/api/admin/access/alice/machines/barn", { body: { permissions: ["manage"] } }],
  ["DELETE", "/api/admin/access/alice/machines/barn", {}]
] as const

const failing = [
  '"2"',
  'W/"2"',
  "2",
  "0",
  '"0"',
  "-1",
  "one",
  '""',
  '"1',
  "1 2",
  '"2", "3"',
  '"*"',
  '"1.0"',
  "9".repeat(400)
]
const holding = [undefined, "*", '"1"', 'W/"1"', "1", ' "1" ', '"7", "1"', 'W/"2",W/"1"']

describe("If-Match", () => {
  it.scoped("that the version does not meet, or that cannot be read, is answered with the entry as it stands", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const entry = yield* send(hub, "GET", "/api/admin/access/alice", admin)
      for (const [method, path, sent] of changes) {
        for (const header of failing) {
          const before = hub.snapshot()
          const answer = yield* send(hub, method, path, { ...admin, ...sent, headers: { "if-match": header } })
          assert.strictEqual(answer.status, 412, `${method} ${path} If-Match: ${header}`)
          assert.strictEqual(answer.headers.get("etag"), '"1"')
          const { error, ...rest } = answer.json
          assert.match(String(error), /has changed since you read it: it is at version 1 now/)
          assert.deepStrictEqual(rest, { id: "alice", version: 1, current: entry.json })
          assert.strictEqual(hub.snapshot(), before)
        }
      }
    })
  )

  it.scoped("that the version meets lets the change be made", () =>
    Effect.gen(function* () {
      const grant = changes[4]
      const cases = [
        ...changes.map((change) => [change, '"1"'] as const),
        ...holding.map((header) => [grant, header] as const)
      ]
      for (const [[method, path, sent], header] of cases) {
        const hub = yield* start()
        const headers = header === undefined ? {} : { "if-match": header }
        const answer = yield* send(hub, method, path, { ...admin, ...sent, headers })
        assert.strictEqual(answer.status, 200, `${method} ${path} If-Match: ${header}`)
      }
    })
  )

  it.scoped("comes after the other checks, and holds for what is revoked already", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const headers = { "if-match": '"9"' }
      const unknown = yield* send(hub, "DELETE", "/api/admin/access/carol", { ...admin, headers })
      assert.strictEqual(unknown.status, 404)
      const owner = yield* send(hub, "DELETE", "/api/admin/access/olga", { as: "olga", headers })
      assert.strictEqual(owner.status, 409)
      const gone = yield* send(hub, "POST", "/api/admin/tokens/gone/revoke", { ...admin, headers })
      assert.strictEqual(gone.status, 412)
    })
  )

  it.scoped("lets one of many changes be made that saw the same version", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const grant = sendNow(hub, "PUT", "/api/admin/access/alice/machines/mill", {
        ...admin,
        body: { permissions: ["connect"] },
        headers: { "if-match": '"1"' }
      })
      const answers = yield* Effect.all(
        Array.from({ length: 20 }, () => grant),
        { concurrency: 10 }
      )
      const statuses = answers.map(({ status }) => status).toSorted()
      assert.deepStrictEqual(statuses, [200, ...Array.from({ length: 19 }, () => 412)])
      assert.strictEqual(identityOf(hub.snapshot(), "alice")?.version, 2)
    })
  )

  it.scoped("goes on from the version that a removed identity of that id had", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      yield* send(hub, "PUT", "/api/admin/access/alice/machines/mill", { ...admin, body: { permissions: ["connect"] } })
      yield* send(hub, "DELETE", "/api/admin/access/alice", admin)
      const again = yield* send(hub, "POST", "/api/admin/tokens", { ...admin, body: { id: "alice" } })
      assert.strictEqual(again.headers.get("etag"), '"3"')
    })
  )
})
