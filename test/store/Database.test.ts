import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AUDIT_EVENTS, DATABASE_CHECKPOINT_WRITES } from "../../src/protocol/Limits.ts"
import { Audit } from "../../src/store/Audit.ts"
import type { AuditEvent } from "../../src/store/Audit.ts"
import * as AuditSql from "../../src/store/AuditSql.ts"
import * as Database from "../../src/store/Database.ts"
import * as HubStorage from "../../src/store/HubStorage.ts"
import * as Sqlite from "../../src/store/internal/sqlite.ts"
import { turn } from "../../src/transport/Slices.ts"
import { logLines } from "../support/logLines.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const inFolder = Effect.map(temporaryFolder, (folder) => Path.join(folder, "telahubd.db"))

const event: AuditEvent = { action: "client-connect", actor: "alice", machine: "barn", outcome: "ok" }

/** What opening a database says. */
const refusal = (file: string) => Effect.flip(Effect.scoped(Database.make(file)))

describe("Database", () => {
  it.scopedLive("is for its owner only, with all that is beside it", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      yield* Effect.gen(function* () {
        yield* (yield* Audit).record([event])
        const modes = Fs.readdirSync(Path.dirname(file)).map((name) => [
          name,
          Fs.statSync(Path.join(Path.dirname(file), name)).mode & 0o777
        ])
        assert.deepStrictEqual(modes, [
          ["telahubd.db", 0o600],
          ["telahubd.db-shm", 0o600],
          ["telahubd.db-wal", 0o600],
          ["telahubd.key", 0o600]
        ])
      }).pipe(Effect.provide(HubStorage.layer({ path: file.replace(/db$/, "yaml") })))
      // When the last one leaves, everything is in the one file.
      assert.deepStrictEqual(Fs.readdirSync(Path.dirname(file)), ["telahubd.db", "telahubd.key"])
    })
  )

  it.scopedLive("says what is wrong with a file, and how to go on", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      Fs.writeFileSync(file, "no database at all, but long enough to be looked at as one\n".repeat(100))
      const { code, message } = yield* refusal(file)
      assert.strictEqual(code, "SQLITE_NOTADB")
      assert.match(
        message,
        /telahubd\.db: this is no SQLite database; move it.*away.*identities and grants are not in it/
      )
      assert.strictEqual(message.split("\n").length, 1)
    })
  )

  it.scopedLive("finds damage in the middle at the start", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        for (let i = 0; i < 500; i++) audit.note({ ...event, why: `${i} `.repeat(40) })
      }).pipe(Effect.provide(Layer.provide(AuditSql.layer, Database.layer(file))))
      const bytes = Fs.readFileSync(file)
      bytes.fill(0x55, Math.floor(bytes.length / 2), Math.floor(bytes.length / 2) + 8_192)
      Fs.writeFileSync(file, bytes)
      assert.match((yield* refusal(file)).message, /it is damaged; move it.*away/)
    })
  )

  it.scopedLive("refuses a folder that cannot be", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      Fs.writeFileSync(file, "")
      assert.match((yield* refusal(Path.join(file, "below.db"))).message, /below\.db: it cannot be opened/)
      Fs.rmSync(file)
      Fs.mkdirSync(file)
      assert.match((yield* refusal(file)).message, /telahubd\.db: it cannot be opened/)
    })
  )

  it.scopedLive("leaves the tables of a newer hub as they are", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      yield* Effect.flatMap(Database.make(file), ({ sql, write }) =>
        write((run) => run(sql`INSERT INTO migrations (migration_id, name) VALUES (99, 'later')`))
      ).pipe(Effect.scoped)
      assert.match((yield* refusal(file)).message, /a newer telahubd has written it \(schema 99.*update telahubd/)
    })
  )

  it.scopedLive("is made once by several that start together", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      const opened = Array.from({ length: 5 }, () => Effect.asVoid(Database.make(file)))
      yield* Effect.all(opened, { concurrency: "unbounded" })
    })
  )

  it.scopedLive("waits for another program that writes, and holds up nobody else meanwhile", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      const { read, sql, write } = yield* Database.make(file)
      const other = yield* Sqlite.connect({ filename: file })
      yield* other`BEGIN IMMEDIATE`
      const written = yield* Effect.fork(write((run) => run(sql`UPDATE recorded SET revision = 5`)))
      // Timers go on: the wait is not in SQLite.
      yield* Effect.sleep(20)
      assert.strictEqual(written.unsafePoll(), null)
      yield* other`COMMIT`
      yield* written.await
      const [row] = yield* read(sql<{ readonly revision: number }>`SELECT revision FROM recorded`)
      assert.strictEqual(row?.revision, 5)
    })
  )

  it.scopedLive("reads nothing that is not committed, and meanwhile waits for it", () =>
    Effect.gen(function* () {
      const { read, sql, write } = yield* Database.make(yield* inFolder)
      const revision = Effect.map(
        read(sql<{ readonly revision: number }>`SELECT revision FROM recorded`),
        ([row]) => row?.revision
      )
      const failed = write((run) =>
        run(sql`UPDATE recorded SET revision = 5`).pipe(
          Effect.zipRight(turn),
          Effect.zipRight(run(sql`INSERT INTO removed (id) VALUES ('x')`))
        )
      )
      const [, before] = yield* Effect.all([Effect.flip(failed), revision], { concurrency: 2 })
      assert.strictEqual(before, 0)
      const [, after] = yield* Effect.all([write((run) => run(sql`UPDATE recorded SET revision = 6`)), revision], {
        concurrency: 2
      })
      assert.strictEqual(after, 6)
    })
  )

  it.scopedLive("undoes a transaction that fails, and goes on with the next", () =>
    Effect.gen(function* () {
      const { read, sql, write } = yield* Database.make(yield* inFolder)
      const failed = yield* Effect.flip(
        write((run) =>
          Effect.zipRight(run(sql`UPDATE recorded SET revision = 5`), run(sql`INSERT INTO removed (id) VALUES ('x')`))
        )
      )
      assert.match(failed.message, /cannot be used \(SQLITE_CONSTRAINT/)
      const [row] = yield* read(sql<{ readonly revision: number }>`SELECT revision FROM recorded`)
      assert.strictEqual(row?.revision, 0)
      yield* write((run) => run(sql`UPDATE recorded SET revision = 6`))
    })
  )

  it.scopedLive("moves the log into the database by a thread of its own", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      const { sql, write } = yield* Database.make(file)
      const size = Fs.statSync(file).size
      const grown = Effect.suspend(() => (Fs.statSync(file).size > size ? Effect.void : Effect.fail("not yet")))
      const add = write((run) => run(sql`INSERT INTO events (at, action, outcome, noted) VALUES (1, 'pair', 'ok', 1)`))
      yield* Effect.replicateEffect(add, DATABASE_CHECKPOINT_WRITES - 1, { discard: true })
      assert.strictEqual(Fs.statSync(file).size, size)
      yield* add
      yield* Effect.retry(Effect.delay(grown, 5), { times: 1_000 })
      yield* Effect.replicateEffect(add, 10, { discard: true })
    })
  )
})

describe("Audit in SQLite", () => {
  it.scopedLive("says once that the disk is full, how much was lost when it is not, and never fails anybody", () =>
    Effect.gen(function* () {
      const database = yield* Database.make(yield* inFolder)
      const { read, sql } = database
      const { layer, until } = yield* logLines
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        const long: AuditEvent = { ...event, why: "x".repeat(500) }
        yield* audit.record([long], 1)
        const [pages] = yield* read(sql<{ readonly page_count: number }>`PRAGMA page_count`)
        yield* read(sql.unsafe(`PRAGMA max_page_count = ${pages?.page_count}`))
        // More than the last page has room for.
        yield* audit.record(
          Array.from({ length: 20 }, () => long),
          2
        )
        for (let i = 0; i < 20; i++) audit.note(long)
        assert.strictEqual((yield* audit.list({ limit: 100 })).length, 1)
        assert.strictEqual(yield* audit.revision, 1)
        yield* read(sql`PRAGMA max_page_count = 100000`)
        yield* audit.record([event], 3)
        assert.strictEqual((yield* audit.list({ limit: 100 })).length, 2)
      }).pipe(
        Effect.provide(Layer.provide(AuditSql.layer, Layer.succeed(Database.Database, database))),
        Effect.scoped,
        Effect.provide(layer)
      )
      const lines: Array<string> = []
      yield* until(/./).pipe(
        Effect.tap((line) => lines.push(line)),
        Effect.repeat({ until: (line) => /could not/.test(line) })
      )
      assert.strictEqual(lines.length, 2)
      assert.match(lines[0] ?? "", /what happens is not recorded for now: .*no space left/)
      assert.match(lines[1] ?? "", /40 events could not be recorded/)
    })
  )

  it.scopedLive("keeps a number of events, of changes and of everything else each", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      const database = yield* Database.make(file)
      const { read, sql, write } = database
      yield* write((run) => run(sql`INSERT INTO events (at, action, outcome, noted) VALUES (1, 'token-add', 'ok', 0)`))
      yield* write((run) =>
        run(
          sql`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${AUDIT_EVENTS})
            INSERT INTO events (at, action, outcome, noted) SELECT i, 'client-connect', 'ok', 1 FROM n`
        )
      )
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        for (let i = 0; i < 50; i++) audit.note(event)
        yield* audit.list({ limit: 1 })
        // Room is made with the next write.
        audit.note(event)
        yield* audit.list({ limit: 1 })
      }).pipe(Effect.provide(Layer.provide(AuditSql.layer, Layer.succeed(Database.Database, database))), Effect.scoped)
      const rows = yield* read(
        sql<{
          readonly noted: number
          readonly kept: number
          readonly oldest: number
        }>`SELECT noted, count(*) AS kept, min(at) AS oldest FROM events GROUP BY noted ORDER BY noted`
      )
      assert.deepStrictEqual(
        rows.map(({ kept, noted }) => [noted, kept <= AUDIT_EVENTS + 1]),
        [
          [0, true],
          [1, true]
        ]
      )
      assert.isAbove(rows[1]?.oldest ?? 0, 40)
    })
  )
})
