import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { AUDIT_DENIED_PER_SECOND, AUDIT_SAMPLE_WINDOW } from "../../../src/protocol/Limits.ts"
import { StoreFailure } from "../../../src/store/IdentityStore.ts"
import { send, sendNow, start } from "./administered.ts"
import type { Administered, Sent } from "./administered.ts"

type Asked = readonly [method: string, path: string, sent?: Sent]

const admin = "adam"
const access = "/api/admin/access"
const barn = `${access}/alice/machines/barn`

/** Every endpoint of the administration, with a request that would do something. */
const endpoints: ReadonlyArray<Asked> = [
  ["GET", "/api/admin/tokens"],
  ["POST", "/api/admin/tokens", { body: { id: "carol" } }],
  ["POST", "/api/admin/tokens/alice/revoke"],
  ["POST", "/api/admin/rotate/alice"],
  ["GET", access],
  ["GET", `${access}/alice`],
  ["PATCH", `${access}/alice`, { body: { id: "alicia" } }],
  ["DELETE", `${access}/alice`],
  ["PUT", barn, { body: { permissions: ["connect"] } }],
  ["DELETE", barn],
  ["GET", "/api/admin/explain?id=alice&machine=barn&permission=connect"],
  ["POST", "/api/admin/pair-code", { body: { machineId: "barn" } }],
  ["GET", "/api/admin/pair-code"],
  ["DELETE", "/api/admin/pair-code/1"]
]

const changes = endpoints.filter(([method, path]) => method !== "GET" && !path.includes("pair-code"))

/** Requests that are refused, by the status they are refused with. */
const refused: ReadonlyArray<readonly [status: number, sentence: RegExp, asked: Asked]> = [
  [400, /must be JSON$/, ["POST", "/api/admin/tokens", { body: "{" }]],
  [400, /must be JSON$/, ["POST", "/api/admin/tokens"]],
  [400, /must be a JSON object/, ["POST", "/api/admin/tokens", { body: [] }]],
  [400, /"id" is missing/, ["POST", "/api/admin/tokens", { body: {} }]],
  [400, /"id" is of the wrong kind/, ["POST", "/api/admin/tokens", { body: { id: 5 } }]],
  [400, /id ""/, ["POST", "/api/admin/tokens", { body: { id: "" } }]],
  ...["a b", "a/b", "*", "__proto__", "constructor", ".", "..", "a\nb", "a\u202eb", "x".repeat(129)].map(
    (id) => [400, /the id .* must be/, ["POST", "/api/admin/tokens", { body: { id } }]] as const
  ),
  [400, /"boss" is no role/, ["POST", "/api/admin/tokens", { body: { id: "carol", role: "boss" } }]],
  [400, /viewer .* cannot be given/, ["POST", "/api/admin/tokens", { body: { id: "carol", role: "viewer" } }]],
  [400, /neither a duration/, ["POST", "/api/admin/tokens", { body: { id: "carol", expiresAt: "soon" } }]],
  [
    400,
    /not in the future/,
    ["POST", "/api/admin/tokens", { body: { id: "carol", expiresAt: "2020-01-01T00:00:00Z" } }]
  ],
  ...["3000000d", "100000000d", "99999999999d"].map(
    (expiresAt) =>
      [
        400,
        /later than the year 9999|neither/,
        ["POST", "/api/admin/tokens", { body: { id: "carol", expiresAt } }]
      ] as const
  ),
  [400, /neither/, ["POST", "/api/admin/tokens", { body: { id: "carol", expiresAt: "2027-02-31T00:00:00Z" } }]],
  [400, /9999/, ["PUT", barn, { body: { permissions: ["connect"], expiresAt: "3000000d" } }]],
  [400, /9999/, ["GET", "/api/admin/explain?id=alice&machine=barn&permission=view&at=3000000d"]],
  [409, /already exists/, ["POST", "/api/admin/tokens", { body: { id: "alice" } }]],
  [403, /only an owner/, ["POST", "/api/admin/tokens", { body: { id: "carol", role: "owner" } }]],
  [404, /no identity is called carol/, ["POST", "/api/admin/tokens/carol/revoke"]],
  [403, /only an owner/, ["POST", "/api/admin/tokens/olga/revoke"]],
  [409, /last remaining owner/, ["POST", "/api/admin/tokens/olga/revoke", { as: "olga" }]],
  [404, /no identity/, ["POST", "/api/admin/rotate/carol"]],
  [403, /only an owner/, ["POST", "/api/admin/rotate/olga"]],
  [404, /no identity/, ["GET", `${access}/carol`]],
  [400, /say what to change/, ["PATCH", `${access}/alice`, { body: {} }]],
  [400, /say what to change/, ["PATCH", `${access}/alice`, { body: { id: null, role: null } }]],
  [400, /the id ""/, ["PATCH", `${access}/alice`, { body: { id: "" } }]],
  [400, /cannot be given/, ["PATCH", `${access}/alice`, { body: { role: "viewer" } }]],
  [400, /is no role/, ["PATCH", `${access}/alice`, { body: { role: "root" } }]],
  [400, /not in the future/, ["PATCH", `${access}/alice`, { body: { expiresAt: "2020-01-01T00:00:00Z" } }]],
  [404, /no identity/, ["PATCH", `${access}/carol`, { body: { role: "" } }]],
  [409, /already exists/, ["PATCH", `${access}/alice`, { body: { id: "bob" } }]],
  // Nothing of it is done: neither the name nor the role.
  [403, /only an owner/, ["PATCH", `${access}/alice`, { body: { id: "alicia", role: "owner" } }]],
  [403, /only an owner/, ["PATCH", `${access}/olga`, { body: { id: "olivia" } }]],
  [409, /sole owner/, ["PATCH", `${access}/olga`, { as: "olga", body: { id: "olivia", role: "admin" } }]],
  [409, /sole owner/, ["PATCH", `${access}/olga`, { as: "olga", body: { expiresAt: "2h" } }]],
  [404, /no identity/, ["DELETE", `${access}/carol`]],
  [403, /only an owner/, ["DELETE", `${access}/olga`]],
  [409, /last remaining owner/, ["DELETE", `${access}/olga`, { as: "olga" }]],
  [
    400,
    /"admin" is no permission; there are connect, register and manage/,
    ["PUT", barn, { body: { permissions: ["connect", "admin"] } }]
  ],
  [400, /"permissions" is missing/, ["PUT", barn, { body: {} }]],
  [400, /"permissions" is of the wrong kind/, ["PUT", barn, { body: { permissions: "connect" } }]],
  [400, /services limit connect/, ["PUT", barn, { body: { permissions: ["manage"], services: ["ssh"] } }]],
  [400, /no name of a service/, ["PUT", barn, { body: { permissions: ["connect"], services: [" "] } }]],
  [400, /at most 256 services/, ["PUT", barn, { body: { permissions: ["connect"], services: Array(257).fill("s") } }]],
  [400, /neither a duration/, ["PUT", barn, { body: { permissions: ["connect"], expiresAt: "2 hours" } }]],
  [400, /machine name/, ["PUT", `${access}/alice/machines/__proto__`, { body: { permissions: ["connect"] } }]],
  [400, /machine name/, ["PUT", `${access}/alice/machines/a%20b`, { body: { permissions: ["connect"] } }]],
  [404, /no identity/, ["PUT", `${access}/carol/machines/barn`, { body: { permissions: ["connect"] } }]],
  [404, /no identity/, ["DELETE", `${access}/carol/machines/barn`]],
  [404, /alice has no permission on mill/, ["DELETE", `${access}/alice/machines/mill`]],
  [404, /no identity/, ["GET", "/api/admin/explain?id=carol&machine=barn&permission=connect"]],
  [400, /"fly" is no permission/, ["GET", "/api/admin/explain?id=alice&machine=barn&permission=fly"]],
  [400, /say whom/, ["GET", "/api/admin/explain?machine=barn"]],
  [400, /on which machine/, ["GET", "/api/admin/explain?id=alice&permission=view"]],
  [400, /neither a duration/, ["GET", "/api/admin/explain?id=alice&machine=barn&permission=view&at=noon"]],
  [400, /no type of pairing code/, ["POST", "/api/admin/pair-code", { body: { type: "both", machineId: "barn" } }]],
  [400, /is no role/, ["POST", "/api/admin/pair-code", { body: { role: "root", machineId: "barn" } }]],
  [400, /cannot be given/, ["POST", "/api/admin/pair-code", { body: { role: "viewer", machineId: "barn" } }]],
  [403, /only an owner/, ["POST", "/api/admin/pair-code", { body: { role: "owner", machineId: "barn" } }]],
  [400, /say which machines/, ["POST", "/api/admin/pair-code", { body: {} }]],
  [400, /say which machines/, ["POST", "/api/admin/pair-code", { body: { machines: [] } }]],
  [400, /"machines" is of the wrong kind/, ["POST", "/api/admin/pair-code", { body: { machines: "*" } }]],
  [
    400,
    /at most 256/,
    ["POST", "/api/admin/pair-code", { body: { machines: Array.from({ length: 257 }, (_, n) => `m${n}`) } }]
  ],
  [400, /machine name/, ["POST", "/api/admin/pair-code", { body: { machines: ["barn", "a/b"] } }]],
  [400, /machine name/, ["POST", "/api/admin/pair-code", { body: { machines: ["barn", ".."] } }]],
  [400, /the id "\.\."/, ["PATCH", `${access}/alice`, { body: { id: ".." } }]],
  [400, /needs the name/, ["POST", "/api/admin/pair-code", { body: { type: "register" } }]],
  [400, /needs the name/, ["POST", "/api/admin/pair-code", { body: { type: "register", machineId: "*" } }]],
  [
    400,
    /for one machine/,
    ["POST", "/api/admin/pair-code", { body: { type: "register", machineId: "barn", machines: ["barn"] } }]
  ],
  ...[0, -1, 599, 604_801, "9m", "8d", "2026-04-15", "600"].map(
    (expiresIn) =>
      [
        400,
        /10 minutes|no duration/,
        ["POST", "/api/admin/pair-code", { body: { machineId: "barn", expiresIn } }]
      ] as const
  ),
  [404, /no such pairing code/, ["DELETE", "/api/admin/pair-code/77"]],
  [401, /wrong, spent, expired or for another machine/, ["POST", "/api/pair", { body: { code: "0000-0000" } }]],
  [400, /"code" is missing/, ["POST", "/api/pair", { body: {} }]]
]

/** A refusal is a sentence, and nothing has changed. */
const isRefused = (hub: Administered, status: number, sentence: RegExp, [method, path, sent = {}]: Asked) =>
  Effect.gen(function* () {
    const before = hub.snapshot()
    const answer = yield* send(hub, method, path, { as: admin, ...sent })
    const what = `${method} ${path} ${JSON.stringify(sent.body)}: ${answer.text}`
    assert.strictEqual(answer.status, status, what)
    assert.match(String(answer.json["error"]), sentence, what)
    assert.isTrue(answer.text.endsWith("}\n"), what)
    assert.strictEqual(answer.headers.get("cache-control"), "no-store", what)
    assert.strictEqual(hub.snapshot(), before, what)
    assert.strictEqual(yield* hub.codes.count(Number.NEGATIVE_INFINITY), 0, what)
  })

describe("the administration", () => {
  it.scoped("asks for a token that counts, on every endpoint, and for it in the header alone", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      for (const [method, path, sent = {}] of endpoints) {
        for (const as of ["wrong", "gone", "past"])
          yield* isRefused(hub, 401, /does not know/, [method, path, { ...sent, as }])
        const before = hub.snapshot()
        const bare = yield* send(hub, method, path, sent)
        assert.strictEqual(bare.status, 401)
        assert.match(bare.text, /no token was given/)
        const cookie = yield* send(hub, method, path, { ...sent, headers: { cookie: "tela_viewer=olga-token" } })
        assert.strictEqual(cookie.status, 401)
        const query = yield* send(hub, method, `${path}${path.includes("?") ? "&" : "?"}token=olga-token`, sent)
        assert.strictEqual(query.status, 401)
        assert.strictEqual(hub.snapshot(), before)
      }
    })
  )

  it.scoped("tells somebody without the right what role it needs, and keeps a record of it", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      for (const as of ["alice", "console-viewer"]) {
        for (const [method, path, sent = {}] of endpoints) {
          yield* isRefused(hub, 403, /needs the token of an owner or admin/, [method, path, { ...sent, as }])
        }
      }
      const [last] = yield* hub.audit.list({ limit: 1, identity: "alice" })
      assert.strictEqual(last?.action, "admin-denied")
      assert.strictEqual(last?.outcome, "denied")
      assert.strictEqual(last?.detail, "DELETE /api/admin/pair-code/:id")
      assert.strictEqual(last?.from, "127.0.0.1")
    })
  )

  it.scoped("keeps a record of every token that is nobody's, wherever it is tried, and not of the token", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const paths: ReadonlyArray<readonly [asked: string, recorded: string]> = [
        ["/api/whoami", "GET /api/whoami"],
        ["/api/status", "GET /api/status"],
        ["/api/history", "GET /api/history"],
        ["/api/admin/agents", "GET /api/admin/agents"],
        ["/api/admin/agents/barn", "GET /api/admin/agents/:machine"],
        ["/api/admin/agents/barn/logs", "GET /api/admin/agents/:machine/:action"],
        ["/api/admin/access", "GET /api/admin/access"]
      ]
      for (const [path, recorded] of paths) {
        for (const as of ["guess", "gone"]) {
          assert.strictEqual((yield* send(hub, "GET", path, { as })).status, 401)
          const [last] = yield* hub.audit.list({ limit: 1 })
          const { action, actor, detail, from, outcome, why } = last ?? {}
          assert.deepStrictEqual([action, actor, outcome, from], ["admin-denied", undefined, "denied", "127.0.0.1"])
          assert.strictEqual(detail, recorded)
          assert.match(why ?? "", /does not know the token/)
        }
      }
      const before = (yield* hub.audit.list({ limit: 100 })).length
      assert.strictEqual(before, 2 * paths.length)
      // Nor where readers of a deployed hub have it.
      yield* send(hub, "GET", "/api/status?token=guess-token")
      yield* send(hub, "GET", "/api/history", { headers: { cookie: "tela_viewer=guess-token" } })
      // Who has none guesses nothing.
      for (const path of ["/api/whoami", "/api/status", "/api/history"]) yield* send(hub, "GET", path)
      const records = yield* hub.audit.list({ limit: 100 })
      assert.strictEqual(records.length, before + 2)
      assert.notMatch(JSON.stringify(records), /guess/)
    })
  )

  it.scoped("counts tokens that are tried in a flood, of which only some are recorded by themselves", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const tries = 3 * AUDIT_DENIED_PER_SECOND
      for (let n = 0; n < tries; n++) {
        assert.strictEqual((yield* sendNow(hub, "GET", "/api/whoami", { as: `guess-${n}` })).status, 401)
      }
      assert.strictEqual((yield* hub.audit.list({ limit: 100 })).length, AUDIT_DENIED_PER_SECOND)
      yield* TestClock.adjust(AUDIT_SAMPLE_WINDOW)
      const [counted] = yield* hub.audit.list({ limit: 1 })
      assert.strictEqual(counted?.detail, `${tries - AUDIT_DENIED_PER_SECOND} more`)
    })
  )

  it.scoped("refuses what makes no sense or cannot be, with the status of the case and a sentence", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      for (const [status, sentence, asked] of refused) yield* isRefused(hub, status, sentence, asked)
    })
  )

  it.scoped("says what kept a change from being stored, and has changed nothing", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const kinds = [
        ["unreadable", 409],
        ["full", 507],
        ["busy", 503],
        ["unwritable", 500]
      ] as const
      for (const [kind, status] of kinds) {
        hub.trouble.failure = new StoreFailure({ kind, message: `it is ${kind}` })
        for (const asked of changes) yield* isRefused(hub, status, new RegExp(`it is ${kind}`), asked)
      }
      hub.trouble.failure = new StoreFailure({ kind: "busy", message: "busy" })
      const { headers } = yield* send(hub, "POST", "/api/admin/rotate/alice", { as: admin })
      assert.strictEqual(headers.get("retry-after"), "1")
    })
  )
})
