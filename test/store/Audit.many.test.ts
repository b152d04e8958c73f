/** The record of a hub in which names come and go: what it keeps is bounded, and so is what a look into it takes. */
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { AUDIT_EVENTS, AUDIT_RENAMES, HISTORY_MAX } from "../../src/protocol/Limits.ts"
import { Audit, removedName } from "../../src/store/Audit.ts"
import type { AuditEvent } from "../../src/store/Audit.ts"
import * as Database from "../../src/store/Database.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { inFolder } from "./storages.ts"

const connected: AuditEvent = { action: "client-connect", actor: "ali", machine: "barn", outcome: "ok" }
const added: AuditEvent = { action: "token-add", actor: "olga", target: "ali", outcome: "ok" }

/** Runs statements on the database of a folder. */
const inDatabase = <A, E>(folder: string, use: (database: typeof Database.Database.Service) => Effect.Effect<A, E>) =>
  Effect.scoped(Effect.flatMap(Database.make(Path.join(folder, "telahubd.db")), use))

const countIn = (folder: string, table: "events" | "renames") =>
  inDatabase(folder, ({ read, sql }) =>
    Effect.map(read(sql<{ readonly n: number }>`SELECT count(*) AS n FROM ${sql(table)}`), ([found]) => found?.n)
  )

/** Events of these sequences, and renames after each of others. */
const fill = (
  folder: string,
  events: { readonly noted: 0 | 1; readonly upTo: number },
  renames: ReadonlyArray<{ readonly after: number; readonly times: number }>
) =>
  inDatabase(folder, ({ sql, write }) =>
    write((run) =>
      Effect.gen(function* () {
        yield* run(
          sql`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${events.upTo})
            INSERT INTO events (sequence, at, action, actor, outcome, noted)
            SELECT i, i, 'client-connect', 'ali', 'ok', ${events.noted} FROM n`
        )
        for (const { after, times } of renames) {
          yield* run(
            sql`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${times})
              INSERT INTO renames (after, former, current) SELECT ${after}, 'ali', ${removedName("ali")} FROM n`
          )
        }
      })
    )
  )

/** The longest time that others wait for a turn while something is done, in milliseconds. */
const longestTurn = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const watch = { longest: 0, last: performance.now(), isOver: false }
      const look = () => {
        const now = performance.now()
        watch.longest = Math.max(watch.longest, now - watch.last)
        watch.last = now
        if (!watch.isOver) setImmediate(look)
      }
      setImmediate(look)
      return watch
    }),
    (watch) =>
      Effect.map(effect, (result) => {
        watch.longest = Math.max(watch.longest, performance.now() - watch.last)
        return { result, longest: watch.longest }
      }),
    (watch) => Effect.sync(() => (watch.isOver = true))
  )

describe("The record of names that come and go", () => {
  it.scopedLive("a name that was removed 10,000 times holds nobody up", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        for (let version = 1; version <= 10_000; version++) {
          audit.note(connected)
          yield* audit.removed("ali", version)
        }
        const { longest, result } = yield* longestTurn(audit.list({ limit: HISTORY_MAX }))
        assert.strictEqual(result.length, HISTORY_MAX)
        assert.isTrue(result.every(({ actorNow }) => actorNow === removedName("ali")))
        // Looked up by copies of all 10,000, it takes a second and more.
        assert.isBelow(longest, 200)
        const own = yield* longestTurn(audit.list({ limit: HISTORY_MAX, identity: "ali" }))
        // Each removal began anew: the last of that name has one event.
        assert.strictEqual(own.result.length, 1)
        assert.isBelow(own.longest, 200)
      }).pipe(Effect.provide(inFolder(folder)))
    })
  )

  it.scopedLive("renames go with the events that need them", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* fill(
        folder,
        { noted: 0, upTo: AUDIT_EVENTS },
        Array.from({ length: 1_000 }, (_, n) => ({ after: n + 1, times: 1 }))
      )
      const record = (times: number) =>
        Effect.gen(function* () {
          const audit = yield* Audit
          for (let n = 0; n < times; n++) yield* audit.record(Array.from({ length: 50 }, () => added))
        }).pipe(Effect.provide(inFolder(folder)))
      yield* record(1)
      assert.strictEqual(yield* countIn(folder, "renames"), 1_000)
      yield* record(9)
      const events = yield* countIn(folder, "events")
      const gone = AUDIT_EVENTS + 500 - (events ?? 0)
      assert.isAtLeast(gone, 400)
      assert.strictEqual(yield* countIn(folder, "renames"), 1_000 - gone)
    })
  )

  it.scopedLive("what hubs before have kept for nothing goes at the next start", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* fill(folder, { noted: 1, upTo: 10 }, [
        { after: 5, times: 300 },
        { after: 10, times: 1 }
      ])
      yield* inDatabase(folder, ({ sql, write }) => write((run) => run(sql`DELETE FROM events WHERE sequence < 8`)))
      yield* Effect.asVoid(Audit).pipe(Effect.provide(inFolder(folder)))
      assert.strictEqual(yield* countIn(folder, "renames"), 1)
    })
  )

  it.scopedLive("renames are bounded, too, where few events come: what is older than all of them goes", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* fill(folder, { noted: 1, upTo: 1_000 }, [
        ...Array.from({ length: 600 }, (_, n) => ({ after: n + 1, times: 1 })),
        { after: 1_000, times: AUDIT_RENAMES }
      ])
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        for (let n = 0; n < 12; n++) yield* audit.record([added])
        const sequences = (yield* audit.list({ limit: 2_000 })).map(({ sequence }) => sequence)
        assert.strictEqual(Math.min(...sequences), 601)
        assert.strictEqual(sequences.length, 412)
      }).pipe(Effect.provide(inFolder(folder)))
      assert.strictEqual(yield* countIn(folder, "renames"), AUDIT_RENAMES)
    })
  )
})
