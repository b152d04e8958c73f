import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { AuditEvent } from "../../../src/store/Audit.ts"
import { send, sendNow, start } from "./administered.ts"
import type { Administered } from "./administered.ts"

type Event = Readonly<Record<string, unknown>>

const historyOf = (hub: Administered, as: string, query = "") =>
  Effect.map(send(hub, "GET", `/api/history${query}`, { as }), ({ json, status, text }) => {
    assert.strictEqual(status, 200, text)
    const events: ReadonlyArray<Event> = Array.isArray(json["events"]) ? json["events"] : []
    return events
  })

const connected = (actor: string, machine: string, more: Partial<AuditEvent> = {}): AuditEvent => ({
  action: "client-connect",
  actor,
  machine,
  from: "192.0.2.7",
  outcome: "ok",
  detail: "services=SSH:22",
  ...more
})

describe("/api/history", () => {
  it.scoped("asks for a token, under both of its names", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      for (const path of ["/api/history", "/api/admin/history"]) {
        for (const as of ["wrong", "gone"]) {
          const { headers, status, text } = yield* send(hub, "GET", path, { as })
          assert.strictEqual(status, 401)
          assert.strictEqual(text, '{"error":"auth_required","events":[]}\n')
          assert.strictEqual(headers.get("access-control-allow-origin"), "*")
        }
        const { json, status } = yield* send(hub, "GET", path, { as: "alice" })
        assert.strictEqual(status, 200)
        assert.deepStrictEqual(json["events"], [])
        const cookie = yield* send(hub, "GET", path, { headers: { cookie: "tela_viewer=alice-token" } })
        assert.strictEqual(cookie.status, 200)
      }
    })
  )

  it.scoped("shows owners and admins everything, newest first", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      yield* hub.audit.record([connected("alice", "barn"), connected("bob", "mill", { outcome: "denied", why: "no" })])
      yield* send(hub, "PUT", "/api/admin/access/alice/machines/barn", { as: "adam", body: { permissions: [] } })
      for (const as of ["adam", "olga"]) {
        const [last, denied, first] = yield* historyOf(hub, as)
        assert.strictEqual(last?.["event"], "access-grant")
        assert.strictEqual(last?.["actor"], "adam")
        assert.strictEqual(last?.["target"], "alice")
        assert.strictEqual(last?.["address"], "127.0.0.1")
        assert.strictEqual(denied?.["outcome"], "denied")
        // Deployed readers know no outcome.
        assert.strictEqual(denied?.["detail"], "denied: services=SSH:22")
        assert.strictEqual(denied?.["reason"], "no")
        const { sequence, timestamp, ...rest } = first ?? {}
        assert.isNumber(sequence)
        assert.match(String(timestamp), /^2027-01-31T12:00:\d\dZ$/)
        assert.deepStrictEqual(rest, {
          machineId: "barn",
          event: "client-connect",
          detail: "services=SSH:22",
          actor: "alice",
          address: "192.0.2.7",
          outcome: "ok"
        })
      }
    })
  )

  it.scoped("shows others what agents and clients did where they may look, and no names but their own", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      yield* hub.audit.record([
        connected("alice", "barn"),
        connected("olga", "barn"),
        connected("olga", "mill"),
        connected("eve", "barn", { outcome: "denied" }),
        { action: "access-grant", actor: "olga", target: "bob", machine: "barn", from: "192.0.2.9", outcome: "ok" },
        {
          action: "access-grant",
          actor: "olga",
          target: "alice",
          machine: "barn",
          from: "192.0.2.9",
          outcome: "ok",
          why: "w"
        },
        { action: "token-add", actor: "olga", target: "bob", from: "192.0.2.9", outcome: "ok" }
      ])
      const [granted, others, own, ...more] = yield* historyOf(hub, "alice")
      assert.deepStrictEqual(more, [])
      // That it befell her, and not who did it, from where and why.
      assert.deepStrictEqual(Object.keys(granted ?? {}).toSorted(), [
        "event",
        "machineId",
        "outcome",
        "sequence",
        "target",
        "timestamp"
      ])
      assert.strictEqual(granted?.["target"], "alice")
      assert.deepStrictEqual(Object.keys(others ?? {}).toSorted(), [
        "detail",
        "event",
        "machineId",
        "sequence",
        "timestamp"
      ])
      assert.strictEqual(own?.["address"], "192.0.2.7")
      assert.deepStrictEqual(yield* historyOf(hub, "agent"), [])
      const seenByViewer = yield* historyOf(hub, "console-viewer")
      assert.deepStrictEqual(
        seenByViewer.map(({ machineId }) => machineId),
        ["mill", "barn", "barn"]
      )
      assert.isFalse(seenByViewer.some((event) => "actor" in event || "address" in event))
    })
  )

  it.scoped("goes by who somebody is, not by the name of the time", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      yield* hub.audit.record([connected("alice", "barn")])
      yield* send(hub, "PATCH", "/api/admin/access/alice", { as: "adam", body: { id: "alicia" } })
      yield* send(hub, "POST", "/api/admin/tokens", { as: "adam", body: { id: "alice" } })
      yield* hub.audit.record([connected("alice", "barn", { from: "192.0.2.99" })])
      const events = yield* historyOf(hub, "alice", "?machine=barn")
      assert.deepStrictEqual(
        events.map(({ address }) => address),
        [undefined, "192.0.2.7"]
      )
      assert.strictEqual(events[1]?.["actor"], "alice")
      assert.strictEqual(events[1]?.["actorNow"], "alicia")
      const ofAdmin = yield* historyOf(hub, "adam", "?identity=alicia")
      assert.isTrue(ofAdmin.every(({ address }) => address !== "192.0.2.99"))
      assert.isAbove(ofAdmin.length, 0)
    })
  )

  it.scoped("does not tell by a filter whose events they are", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      yield* hub.audit.record([
        connected("olga", "barn"),
        connected("alice", "barn"),
        connected("alice", "mill"),
        { action: "access-grant", actor: "olga", target: "alice", machine: "barn", outcome: "ok" }
      ])
      assert.deepStrictEqual(yield* historyOf(hub, "alice", "?identity=olga"), [])
      assert.strictEqual((yield* historyOf(hub, "alice", "?identity=alice")).length, 2)
      assert.deepStrictEqual(yield* historyOf(hub, "alice", "?identity=nobody"), [])
      assert.deepStrictEqual(yield* historyOf(hub, "alice", "?machine=mill"), [])
    })
  )

  it.scoped("is searched only so often, by whoever", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      for (const as of ["alice", "olga"]) {
        const paths = ["/api/history", "/api/admin/history"] as const
        const asked = Array.from({ length: 30 }, (_, n) => sendNow(hub, "GET", paths[n % 2] ?? paths[0], { as }))
        const statuses = (yield* Effect.all(asked)).map(({ status }) => status)
        assert.strictEqual(statuses.lastIndexOf(200), 19)
        assert.strictEqual((yield* sendNow(hub, "GET", "/api/whoami", { as })).status, 200)
      }
    })
  )

  it.scoped("gives 100 unless asked, and whoever sees little as many as there are", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      yield* hub.audit.record(Array.from({ length: 150 }, () => connected("olga", "barn")))
      yield* hub.audit.record(Array.from({ length: 3_000 }, () => connected("olga", "mill")))
      for (const as of ["adam", "alice"]) {
        const events = yield* historyOf(hub, as)
        assert.strictEqual(events.length, 100)
        const sequences = events.map(({ sequence }) => Number(sequence))
        assert.deepStrictEqual(
          sequences,
          sequences.toSorted((a, b) => b - a)
        )
      }
      const page = yield* historyOf(hub, "alice", "?limit=2")
      const rest = yield* historyOf(hub, "alice", `?limit=1000&before=${String(page[1]?.["sequence"])}`)
      assert.strictEqual(rest.length, 148)
      assert.strictEqual((yield* historyOf(hub, "adam", "?limit=1000")).length, 1_000)
      for (const query of ["limit=0", "limit=1001", "limit=ten", "limit=1.5", "before=-1", "before=x"]) {
        const { json, status } = yield* send(hub, "GET", `/api/history?${query}`, { as: "adam" })
        assert.strictEqual(status, 400)
        assert.match(String(json["error"]), /must be/)
      }
    })
  )
})
