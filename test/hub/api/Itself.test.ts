/** The hub itself through its interface: numbers, log, channel and updates. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Hub from "../../../src/hub/Hub.ts"
import { makeSnapshot } from "../../../src/policy/Identity.ts"
import { LOG_GATHER, STATUS_CHANNEL_WAIT } from "../../../src/protocol/Limits.ts"
import * as HubStorage from "../../../src/store/HubStorage.ts"
import { Audit } from "../../../src/store/Audit.ts"
import type { Updater } from "../../../src/system/release/Updater.ts"
import { UpdateRefused } from "../../../src/system/release/Updater.ts"
import * as LogRing from "../../../src/telemetry/LogRing.ts"
import { agentOf, identity } from "../harness.ts"
import { send, sendNow } from "./administered.ts"

const admin = { as: "adam" }
const owner = { as: "olga" }

const snapshot = makeSnapshot(
  1,
  [identity("olga", "owner"), identity("adam", "admin"), identity("alice"), identity("agent")],
  [
    { id: "agent", machine: "barn", permission: "register" },
    { id: "alice", machine: "*", permission: "manage" },
    { id: "alice", machine: "*", permission: "connect" }
  ]
)

/** Updates that remember what they were asked. */
const updates = (over: Partial<Context.Tag.Service<Updater>> = {}) => {
  const asked: Array<unknown> = []
  const noted = <A>(what: unknown, answer: A) => Effect.sync(() => (asked.push(what), answer))
  const updater: Context.Tag.Service<Updater> = {
    status: Effect.succeed({
      channel: "stable",
      manifestUrl: "https://dl.example.com/stable.json",
      currentVersion: "v1.2.3",
      latestVersion: "v1.3.0",
      updateAvailable: true,
      sources: { stable: "https://dl.example.com" }
    }),
    update: (request) => noted({ update: request }, { version: "v1.3.0", begun: true, message: "updating to v1.3.0" }),
    channel: Effect.succeed({ channel: "stable", manifestUrl: "" }),
    setChannel: (request) => noted({ setChannel: request }, { channel: request.channel ?? "stable", manifestUrl: "u" }),
    sources: Effect.succeed({ stable: "https://dl.example.com" }),
    setSource: (name, base) => noted({ setSource: [name, base] }, base),
    removeSource: (name) => noted({ removeSource: name }, name === "stable"),
    ...over
  }
  return { asked, updater }
}

const started = (more: Partial<Hub.HubOptions> = {}) =>
  Effect.gen(function* () {
    const config = { hubId: "h", name: "owlsnest", host: "127.0.0.1", port: 0, tls: undefined, trustedProxies: [] }
    const context = yield* Layer.build(
      Hub.layer({ config, version: "v1.2.3", ...more }).pipe(Layer.provideMerge(HubStorage.layerMemory(snapshot)))
    )
    const actions = Effect.map(Context.get(context, Audit).list({ limit: 100 }), (events) =>
      events.map(({ action, actor, detail, outcome }) => [action, actor, detail, outcome])
    )
    return { url: Context.get(context, Hub.Hub).url, actions }
  })

describe("the hub in numbers", () => {
  it.scoped("is for administrators", () =>
    Effect.gen(function* () {
      const hub = yield* started({ updater: updates().updater })
      yield* agentOf(hub)
      yield* TestClock.adjust("90 seconds")
      const { json, status } = yield* send(hub, "GET", "/api/admin/hub", admin)
      assert.strictEqual(status, 200)
      assert.deepInclude(json, {
        version: "v1.2.3",
        hubId: "h",
        hubName: "owlsnest",
        startedAt: "1970-01-01T00:00:00.000Z",
        uptime: 91,
        shutdownTimeout: 30_000,
        machines: { online: 1, known: 1 },
        sessions: 0,
        relayedBytes: 0,
        heldBytes: 0
      })
      assert.deepInclude(json["update"], { channel: "stable", latestVersion: "v1.3.0", updateAvailable: true })
      assert.notProperty(json, "certificate")
      for (const as of ["alice", "nobody"]) {
        assert.include([401, 403], (yield* send(hub, "GET", "/api/admin/hub", { as })).status)
      }
    })
  )

  it.scoped("does not wait long for a channel that does not answer", () =>
    Effect.gen(function* () {
      const hub = yield* started({ updater: updates({ status: Effect.never }).updater })
      const asked = yield* Effect.fork(sendNow(hub, "GET", "/api/admin/hub", admin))
      const { json } = yield* Fiber.join(asked).pipe(
        Effect.race(Effect.forever(Effect.zipRight(Effect.yieldNow(), TestClock.adjust(STATUS_CHANNEL_WAIT / 10))))
      )
      assert.match(String((json["update"] as Record<string, unknown>)["error"]), /takes long/)
    })
  )
})

describe("the hub's log", () => {
  it.scoped("is given as deployed tools ask for it", () =>
    Effect.gen(function* () {
      const log = LogRing.make()
      for (let i = 1; i <= 150; i++)
        log.take({ text: `line ${i}`, level: i % 10 === 0 ? "warn" : "info", machine: undefined })
      const hub = yield* started({ log })
      const lines = (query: string) =>
        Effect.map(send(hub, "GET", `/api/admin/logs${query}`, admin), ({ json, status }) => {
          assert.strictEqual(status, 200)
          return json["lines"] as ReadonlyArray<string>
        })
      assert.strictEqual((yield* lines("")).length, 100)
      assert.strictEqual((yield* lines("?lines=0")).length, 100)
      assert.strictEqual((yield* lines("?lines=x")).length, 100)
      assert.deepStrictEqual(yield* lines("?lines=2"), ["line 149", "line 150"])
      assert.strictEqual((yield* lines("?lines=5000")).length, 150)
      assert.strictEqual((yield* lines("?lines=500&level=warn")).length, 15)
      assert.strictEqual((yield* send(hub, "GET", "/api/admin/logs?level=loud", admin)).status, 400)
      assert.strictEqual((yield* send(hub, "GET", "/api/admin/logs", { as: "alice" })).status, 403)
    })
  )

  it.scoped("is followed by a cursor", () =>
    Effect.gen(function* () {
      const log = LogRing.make()
      log.take({ text: "old", level: "info", machine: undefined })
      const hub = yield* started({ log })
      const { json } = yield* send(hub, "GET", "/api/admin/logs", admin)
      const path = `/api/admin/logs?after=${String(json["cursor"])}&wait=20000`
      const waiting = yield* Effect.fork(sendNow(hub, "GET", path, admin))
      // Asked before the line comes, or after: either way it is in the answer.
      log.take({ text: "new", level: "info", machine: undefined })
      const page = yield* Fiber.join(waiting).pipe(
        Effect.race(Effect.forever(Effect.zipRight(Effect.yieldNow(), TestClock.adjust(LOG_GATHER))))
      )
      assert.deepStrictEqual(page.json["lines"], ["new"])
    })
  )

  it.scoped("is not there in a hub that is a part of another program", () =>
    Effect.gen(function* () {
      const hub = yield* started()
      for (const path of ["/api/admin/logs", "/api/admin/update", "/api/admin/update/sources"]) {
        const { json, status } = yield* send(hub, "GET", path, admin)
        assert.include([404, 409], status)
        assert.match(String(json["error"]), /part of another program/)
      }
    })
  )
})

describe("updates", () => {
  it.scoped("are shown to administrators, in the members that deployed tools know", () =>
    Effect.gen(function* () {
      const hub = yield* started({ updater: updates().updater })
      const { json } = yield* send(hub, "GET", "/api/admin/update", admin)
      assert.deepStrictEqual(json, {
        channel: "stable",
        manifestUrl: "https://dl.example.com/stable.json",
        currentVersion: "v1.2.3",
        latestVersion: "v1.3.0",
        updateAvailable: true,
        sources: { stable: "https://dl.example.com" }
      })
      const sources = yield* send(hub, "GET", "/api/admin/update/sources", admin)
      assert.deepStrictEqual(sources.json, { sources: { stable: "https://dl.example.com" } })
    })
  )

  it.scoped("are for owners to choose, and recorded", () =>
    Effect.gen(function* () {
      const { asked, updater } = updates()
      const hub = yield* started({ updater })
      const changes = [
        ["POST", "", { version: "v1.3.0" }, { ok: true, message: "updating to v1.3.0", version: "v1.3.0" }],
        ["PATCH", "", { channel: "beta" }, { ok: true, channel: "beta", manifestUrl: "u" }],
        [
          "PUT",
          "/sources/dev",
          { base: "https://d.example.com" },
          { ok: true, name: "dev", base: "https://d.example.com" }
        ],
        ["DELETE", "/sources/stable", undefined, { ok: true, name: "stable" }]
      ] as const
      for (const [method, path, body, answer] of changes) {
        const whole = `/api/admin/update${path}`
        for (const as of ["adam", "alice"]) {
          const denied = yield* send(hub, method, whole, { as, ...(body && { body }) })
          assert.strictEqual(denied.status, 403)
        }
        assert.deepStrictEqual((yield* send(hub, method, whole, { ...owner, ...(body && { body }) })).json, answer)
      }
      assert.deepStrictEqual(asked, [
        { update: { version: "v1.3.0" } },
        { setChannel: { channel: "beta", base: undefined } },
        { setSource: ["dev", "https://d.example.com"] },
        { removeSource: "stable" }
      ])
      assert.strictEqual((yield* send(hub, "DELETE", "/api/admin/update/sources/none", owner)).status, 404)
      const events = yield* hub.actions
      assert.deepInclude(events, ["hub-update", "adam", "version=v1.3.0", "denied"])
      assert.deepInclude(events, ["hub-update", "olga", "version=v1.3.0", "ok"])
      assert.deepInclude(events, ["hub-channel", "olga", "channel=beta", "ok"])
      assert.deepInclude(events, ["hub-channel", "olga", "source dev=https://d.example.com", "ok"])
    })
  )

  it.scoped.each([
    ["invalid", 400],
    ["refused", 409],
    ["busy", 409],
    ["unreachable", 502],
    ["unwritable", 500]
  ] as const)("that are %s answer %d and say why", ([kind, status]) =>
    Effect.gen(function* () {
      const { updater } = updates({ update: () => new UpdateRefused({ kind, message: "the reason" }) })
      const hub = yield* started({ updater })
      // As deployed tools do, without a body.
      const refused = yield* send(hub, "POST", "/api/admin/update", owner)
      assert.deepStrictEqual([refused.status, refused.json["error"]], [status, "the reason"])
      assert.deepInclude(yield* hub.actions, ["hub-update", "olga", "version=latest", "failed"])
    })
  )
})
