import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import {
  AUDIT_BATCH_DELAY,
  AUDIT_DENIED_ACTORS,
  AUDIT_DENIED_PER_SECOND,
  AUDIT_QUEUE,
  AUDIT_SAMPLE_WINDOW,
  AUDIT_TEXT_CHARACTERS
} from "../../src/protocol/Limits.ts"
import { Audit } from "../../src/store/Audit.ts"
import type { AuditEvent } from "../../src/store/Audit.ts"
import { logLines } from "../support/logLines.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { inFolder, storages } from "./storages.ts"

const granted = (actor: string, target: string): AuditEvent => ({
  action: "access-grant",
  actor,
  target,
  outcome: "ok"
})
const connected = (actor: string, machine: string): AuditEvent => ({
  action: "client-connect",
  actor,
  machine,
  outcome: "ok"
})
const denied: AuditEvent = { action: "admin-denied", from: "192.0.2.1", outcome: "denied", why: "unknown token" }

describe.each(storages)("Audit %s", (_, storage) => {
  it.scoped("keeps everything that is known of an event, with its instant", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      const event: AuditEvent = {
        action: "access-grant",
        actor: "olga",
        target: "alice",
        machine: "barn",
        from: "192.0.2.1",
        outcome: "denied",
        why: "only an owner may",
        detail: "connect, services=ssh"
      }
      yield* TestClock.setTime(1_700_000_000_123)
      yield* audit.record([event])
      yield* audit.record([{ action: "recovered", outcome: "ok" }])
      const [second, first] = yield* audit.list({ limit: 10 })
      assert.deepStrictEqual(first, { ...event, sequence: first?.sequence ?? 0, at: 1_700_000_000_123 })
      assert.deepStrictEqual(Object.keys(second ?? {}).toSorted(), ["action", "at", "outcome", "sequence"])
      assert.isAbove(second?.sequence ?? 0, first?.sequence ?? 0)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("keeps the order in which things were said, noted ones first where they were first", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      audit.note(connected("a", "1"))
      audit.note(connected("a", "2"))
      yield* audit.record([granted("a", "3"), granted("a", "4")])
      audit.note(connected("a", "5"))
      const records = yield* audit.list({ limit: 10 })
      assert.deepStrictEqual(
        records.map(({ machine, target }) => machine ?? target),
        ["5", "4", "3", "2", "1"]
      )
    }).pipe(Effect.provide(storage))
  )

  it.scoped("tells the last revision, and what a change had to say is not needed for it", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      assert.strictEqual(yield* audit.revision, 0)
      yield* audit.record([granted("a", "b")], 7)
      assert.strictEqual(yield* audit.revision, 7)
      yield* audit.record([granted("a", "b")])
      assert.strictEqual(yield* audit.revision, 7)
      yield* audit.record([], 9)
      assert.strictEqual(yield* audit.revision, 9)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("finds by machine, by what came before, and no more than asked for", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      for (let i = 0; i < 600; i++) audit.note(connected(`user${i}`, i % 200 === 0 ? "rare" : "common"))
      const rare = yield* audit.list({ limit: 10, machine: "rare" })
      assert.deepStrictEqual(
        rare.map(({ actor }) => actor),
        ["user400", "user200", "user0"]
      )
      const before = yield* audit.list({ limit: 2, before: rare[0]?.sequence ?? 0 })
      assert.deepStrictEqual(
        before.map(({ actor }) => actor),
        ["user399", "user398"]
      )
      assert.strictEqual((yield* audit.list({ limit: 500 })).length, 500)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("finds what a reader may read, and looks no further back than asked", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      const tried: AuditEvent = { ...connected("eve", "barn"), outcome: "denied" }
      yield* audit.record([{ ...granted("olga", "alice"), machine: "barn" }, granted("olga", "alice")])
      for (let i = 0; i < 300; i++) audit.note(connected(`user${i}`, i % 100 === 0 ? "barn" : "vault"))
      yield* audit.record([tried, { ...tried, actor: "alice" }, { ...granted("olga", "bob"), machine: "barn" }])
      const reader = { identity: "alice", actions: ["client-connect"], machines: ["shed", "barn"] } as const
      const read = (more: object) =>
        Effect.map(audit.list({ limit: 1_000, reader, ...more }), (found) =>
          found.map(({ action, actor, machine }) => [action, actor, machine].join(" "))
        )
      const all = [
        "client-connect alice barn",
        "client-connect user200 barn",
        "client-connect user100 barn",
        "client-connect user0 barn",
        "access-grant olga barn"
      ]
      assert.deepStrictEqual(yield* read({}), all)
      assert.deepStrictEqual(yield* read({ limit: 2 }), all.slice(0, 2))
      assert.deepStrictEqual(yield* read({ within: 210 }), all.slice(0, 3))
      assert.deepStrictEqual(yield* read({ within: 210, identity: "alice" }), all.slice(0, 1))
      assert.deepStrictEqual(yield* read({ reader: { ...reader, machines: [] } }), [])
      assert.deepStrictEqual(yield* read({ reader: { ...reader, actions: [] } }), [all[0], all[4]])
      // On every machine, but nothing that is on none.
      assert.strictEqual((yield* read({ reader: { identity: "alice", actions: ["client-connect"] } })).length, 302)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("tells two identities of one name apart, and follows one through its names", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      yield* audit.record([granted("alice", "x1")])
      audit.note(connected("alice", "m1"))
      yield* audit.renamed("alice", "alicia", 1)
      yield* audit.record([granted("alicia", "x2"), granted("olga", "alicia")])
      yield* audit.record([{ action: "token-add", actor: "olga", target: "alice", outcome: "ok" }])
      yield* audit.record([granted("alice", "x3")])
      yield* audit.renamed("alicia", "ali", 2)

      const all = yield* audit.list({ limit: 20 })
      const said = all.map(({ actor, actorNow, target, targetNow }) => [actor, actorNow, target, targetNow])
      assert.deepStrictEqual(said.toReversed(), [
        ["alice", "ali", "x1", undefined],
        ["alice", "ali", undefined, undefined],
        ["alicia", "ali", "x2", undefined],
        ["olga", undefined, "alicia", "ali"],
        ["olga", undefined, "alice", undefined],
        ["alice", undefined, "x3", undefined]
      ])
      const of = (identity: string) =>
        Effect.map(audit.list({ limit: 20, identity }), (found) =>
          found.map(({ machine, target }) => machine ?? target ?? "")
        )
      assert.deepStrictEqual(yield* of("ali"), ["alicia", "x2", "m1", "x1"])
      assert.deepStrictEqual(yield* of("alice"), ["x3", "alice"])
      assert.deepStrictEqual(yield* of("alicia"), [])

      // One who is gone is found by the last name, and a later one of that name is somebody else.
      yield* audit.removed("ali", 3)
      assert.strictEqual((yield* audit.list({ limit: 20 })).at(-1)?.actorNow, "ali (removed)")
      yield* audit.record([granted("ali", "x4")])
      assert.deepStrictEqual(yield* of("ali"), ["x4", "alicia", "x2", "m1", "x1"])
      const [latest] = yield* audit.list({ limit: 1 })
      assert.isUndefined(latest?.actorNow)
      assert.strictEqual(audit.lastVersion("ali"), 3)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("samples what is denied under flood, and says how much it left out", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      for (let i = 0; i < 500; i++) audit.note(denied)
      // What is not denied is no flood.
      audit.note(connected("alice", "barn"))
      assert.strictEqual((yield* audit.list({ limit: 1_000 })).length, AUDIT_DENIED_PER_SECOND + 1)
      yield* TestClock.adjust(1_000)
      audit.note({ ...denied, why: "a second later" })
      yield* TestClock.adjust(AUDIT_SAMPLE_WINDOW)
      const [counted, later] = yield* audit.list({ limit: 2 })
      assert.strictEqual(later?.why, "a second later")
      assert.deepInclude(counted, {
        action: "admin-denied",
        outcome: "denied",
        detail: `${500 - AUDIT_DENIED_PER_SECOND} more`
      })
      // Once, and not again a minute later.
      yield* TestClock.adjust(AUDIT_SAMPLE_WINDOW)
      assert.strictEqual((yield* audit.list({ limit: 1 }))[0]?.sequence, counted?.sequence)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("samples strangers together and each identity by itself, so that no flood hides another's attempts", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      for (let i = 0; i < 500; i++) audit.note(denied)
      for (let i = 0; i < 500; i++) audit.note({ ...denied, actor: "eve" })
      audit.note({ ...denied, actor: "bob" })
      const by = (actor: string | undefined) =>
        Effect.map(audit.list({ limit: 5_000 }), (all) => all.filter((each) => each.actor === actor).length)
      assert.strictEqual(yield* by(undefined), AUDIT_DENIED_PER_SECOND)
      assert.strictEqual(yield* by("eve"), AUDIT_DENIED_PER_SECOND)
      assert.strictEqual(yield* by("bob"), 1)
      // However many take part.
      for (let i = 0; i < 20_000; i++) audit.note({ ...denied, actor: `user${i % 2_000}` })
      const all = (yield* audit.list({ limit: 5_000 })).length
      assert.isAtMost(all, AUDIT_DENIED_ACTORS * AUDIT_DENIED_PER_SECOND)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("holds a bounded number of events that wait, and says how many were too many", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      const { layer, until } = yield* logLines
      for (let i = 0; i < AUDIT_QUEUE + 5; i++) audit.note(connected(`user${i}`, "barn"))
      const [last] = yield* audit.list({ limit: 1 }).pipe(Effect.provide(layer))
      assert.strictEqual(last?.actor, `user${AUDIT_QUEUE - 1}`)
      yield* until(/5 events could not be recorded/)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("cuts what strangers make too long", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      audit.note({ ...denied, machine: "m".repeat(100_000) })
      const [record] = yield* audit.list({ limit: 1 })
      assert.strictEqual(record?.machine?.length, AUDIT_TEXT_CHARACTERS)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("remembers the versions of removed identities, the greater one of two", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      assert.strictEqual(audit.lastVersion("alice"), 0)
      yield* audit.removed("alice", 12)
      yield* audit.removed("alice", 3)
      yield* audit.removed("bob", 1)
      assert.strictEqual(audit.lastVersion("alice"), 12)
      assert.strictEqual(audit.lastVersion("bob"), 1)
    }).pipe(Effect.provide(storage))
  )
})

describe("Audit in SQLite", () => {
  it.scoped("is there after a restart, noted events and the count of denied ones included", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const storage = inFolder(folder)
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        yield* audit.record([granted("alice", "x")], 4)
        yield* audit.renamed("alice", "alicia", 1)
        yield* audit.removed("bob", 8)
        for (let i = 0; i < AUDIT_DENIED_PER_SECOND + 3; i++) audit.note(denied)
        audit.note(connected("alicia", "barn"))
      }).pipe(Effect.provide(storage))
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        assert.strictEqual(yield* audit.revision, 4)
        assert.strictEqual(audit.lastVersion("bob"), 8)
        const records = yield* audit.list({ limit: 100 })
        assert.strictEqual(records.length, AUDIT_DENIED_PER_SECOND + 3)
        assert.strictEqual(records[0]?.detail, "3 more")
        assert.strictEqual(records.at(-1)?.actorNow, "alicia")
        const sequences = records.map(({ sequence }) => sequence)
        assert.deepStrictEqual(
          sequences,
          sequences.toSorted((a, b) => b - a)
        )
        // A sequence never comes again.
        yield* audit.record([granted("alicia", "y")])
        assert.isAbove((yield* audit.list({ limit: 1 }))[0]?.sequence ?? 0, sequences[0] ?? 0)
      }).pipe(Effect.provide(storage))
    })
  )

  it.scoped("writes what was noted a moment later, by itself", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      /** What stands in the file, as another program sees it. */
      const written = Effect.flatMap(Audit, (other) => other.list({ limit: 10 })).pipe(Effect.provide(inFolder(folder)))
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        audit.note(connected("alice", "barn"))
        assert.strictEqual((yield* written).length, 0)
        yield* TestClock.adjust(AUDIT_BATCH_DELAY)
        assert.strictEqual((yield* written).length, 1)
      }).pipe(Effect.provide(inFolder(folder)))
    })
  )

  it.scoped("takes in what another program recorded meanwhile", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const hub = yield* Audit
        yield* hub.record([granted("alice", "1")], 1)
        yield* Effect.gen(function* () {
          const tool = yield* Audit
          yield* tool.record([granted("alice", "2")], 2)
          yield* tool.removed("bob", 5)
        }).pipe(Effect.provide(inFolder(folder)))
        yield* hub.record([], 3)
        assert.strictEqual(hub.lastVersion("bob"), 5)
        assert.deepStrictEqual(
          (yield* hub.list({ limit: 10 })).map(({ target }) => target),
          ["2", "1"]
        )
      }).pipe(Effect.provide(inFolder(folder)))
    })
  )
})
