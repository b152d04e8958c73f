/** A hub that goes back to the version before, on a database to which the newer one has added. */
import * as Path from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Codes from "../../src/crypto/PairCode.ts"
import { Audit } from "../../src/store/Audit.ts"
import * as Database from "../../src/store/Database.ts"
import * as HubStorage from "../../src/store/HubStorage.ts"
import { adding, LATEST, migrate, migrations } from "../../src/store/internal/migrations.ts"
import * as Sqlite from "../../src/store/internal/sqlite.ts"
import { Machines } from "../../src/store/Machines.ts"
import { PairCodes } from "../../src/store/PairCodes.ts"
import { logLines } from "../support/logLines.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const now = 1_700_000_000_000

const about = {
  type: "connect",
  machines: ["barn"],
  role: "user",
  createdBy: "olga",
  createdWith: "ab".repeat(32),
  createdAt: now,
  expiresAt: now + 1_000
} as const

/** A hub of the next version has started on the database; `use` is what it did there. */
const newer = <A, E>(file: string, readableFrom: number, use?: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.gen(function* () {
    const sql = yield* Sqlite.open(file)
    const more = adding(
      readableFrom,
      "ALTER TABLE pair_codes ADD COLUMN note TEXT NOT NULL DEFAULT ''",
      "ALTER TABLE events ADD COLUMN place TEXT",
      "CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT"
    )
    const standing = yield* migrate({ ...migrations, [`${LATEST + 1}_more`]: more }).pipe(
      Effect.provideService(SqlClient.SqlClient, sql)
    )
    if (use !== undefined) yield* Effect.provideService(use, SqlClient.SqlClient, sql)
    return standing
  }).pipe(Effect.scoped)

const inFolder = Effect.map(temporaryFolder, (folder) => ({
  file: Path.join(folder, "telahubd.db"),
  /** A hub of this version. */
  hub: HubStorage.layer({ path: Path.join(folder, "telahubd.yaml") })
}))

describe("a hub that goes back to the version before", () => {
  it.scopedLive("goes on with the tables to which the newer one has added, and with what that did", () =>
    Effect.gen(function* () {
      const { file, hub } = yield* inFolder
      const [open, spent, cancelled] = [Codes.generate(), Codes.generate(), Codes.generate()]
      const ids = yield* Effect.gen(function* () {
        const codes = yield* PairCodes
        yield* (yield* Audit).record([{ action: "client-connect", actor: "alice", machine: "barn", outcome: "ok" }], 7)
        return yield* Effect.forEach([open, spent, cancelled], (code) =>
          Effect.map(codes.add(code, about), ({ id }) => id)
        )
      }).pipe(Effect.provide(hub))

      const standing = yield* newer(
        file,
        LATEST,
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql`UPDATE pair_codes SET spent_at = ${now}, spent_for = 'kim', note = 'taken' WHERE id = ${ids[1] ?? ""}`
          yield* sql`DELETE FROM pair_codes WHERE id = ${ids[2] ?? ""}`
          yield* sql`INSERT INTO events (at, action, outcome, noted, place) VALUES (1, 'pair', 'ok', 1, 'here')`
          yield* sql`INSERT INTO events (at, action, outcome, noted) VALUES (2, 'unheard-of', 'ok', 1)`
        })
      )
      assert.deepStrictEqual(standing, { schema: LATEST + 1, readableFrom: LATEST })

      const { layer, until } = yield* logLines
      yield* Effect.gen(function* () {
        const codes = yield* PairCodes
        const audit = yield* Audit
        yield* until(/a newer telahubd has added to the database; this one goes on with it/)
        // What was spent or cancelled meanwhile does not come to life again.
        for (const code of [spent, cancelled]) assert.isUndefined(yield* codes.find(code, now))
        assert.deepStrictEqual(
          (yield* codes.unsettled).map(({ identity }) => identity),
          ["kim"]
        )
        assert.isTrue(yield* codes.spend(ids[0] ?? "", "ann", now))
        yield* codes.add(Codes.generate(), about)
        assert.strictEqual(yield* codes.count(now), 1)
        assert.strictEqual(yield* audit.revision, 7)
        yield* audit.record([{ action: "client-connect", actor: "bob", machine: "barn", outcome: "ok" }], 8)
        assert.deepStrictEqual(
          (yield* audit.list({ limit: 10 })).map(({ action }) => action),
          ["client-connect", "pair", "client-connect"]
        )
        assert.deepStrictEqual((yield* (yield* Machines).seen).machines, [])
      }).pipe(Effect.provide(Layer.provide(hub, layer)), Effect.provide(layer))

      // And the newer one, once more, with what was done meanwhile.
      yield* newer(
        file,
        LATEST,
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const notes = yield* sql<{ readonly note: string }>`SELECT note FROM pair_codes ORDER BY id`
          assert.deepStrictEqual(notes, [{ note: "" }, { note: "taken" }, { note: "" }])
        })
      )
    })
  )

  it.scopedLive("does not touch tables that the newer one has made for its successors alone", () =>
    Effect.gen(function* () {
      const { file } = yield* inFolder
      yield* Effect.scoped(Database.make(file))
      yield* newer(file, LATEST + 1)
      const { code, message } = yield* Effect.flip(Effect.scoped(Database.make(file)))
      assert.strictEqual(code, "newer")
      assert.match(
        message,
        new RegExp(`a newer telahubd has written it \\(schema ${LATEST + 1}, this one knows ${LATEST}\\)`)
      )
    })
  )

  it.scopedLive("can do so from this version too", () =>
    Effect.gen(function* () {
      const { file } = yield* inFolder
      const { read, sql } = yield* Database.make(file)
      const [said] = yield* read(sql<{ readonly user_version: number }>`PRAGMA user_version`)
      // The first release has three. Who raises this says which release cannot be gone back to any more.
      assert.isAtMost(said?.user_version || LATEST, 3)
    })
  )
})
