/** The tables of telahubd.db, as each version of the hub added to them. What was released here is never changed. */
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"

const statements = (...texts: ReadonlyArray<string>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.forEach(texts, (text) => sql.unsafe(text), { discard: true }))

const migrations = {
  "1_record": statements(
    // Without an index by name: a search reads backwards and stops early, and each index would cost every write.
    `CREATE TABLE events (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      at INTEGER NOT NULL,
      action TEXT NOT NULL,
      actor TEXT,
      target TEXT,
      machine TEXT,
      origin TEXT,
      outcome TEXT NOT NULL,
      why TEXT,
      detail TEXT,
      noted INTEGER NOT NULL
    ) STRICT`,
    "CREATE INDEX events_noted ON events (noted)",
    "CREATE TABLE recorded (revision INTEGER NOT NULL) STRICT",
    "INSERT INTO recorded VALUES (0)",
    `CREATE TABLE renames (
      number INTEGER PRIMARY KEY AUTOINCREMENT,
      after INTEGER NOT NULL,
      former TEXT NOT NULL,
      current TEXT NOT NULL
    ) STRICT`,
    `CREATE TABLE removed (
      number INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      version INTEGER NOT NULL
    ) STRICT`
  ),
  "2_pair_codes": statements(
    `CREATE TABLE pair_codes (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      digest TEXT NOT NULL UNIQUE,
      type TEXT NOT NULL,
      machines TEXT NOT NULL,
      role TEXT NOT NULL,
      created_by TEXT NOT NULL,
      created_with TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      expires_at INTEGER NOT NULL,
      spent_at INTEGER,
      spent_for TEXT
    ) STRICT`
  ),
  "3_machines": statements(
    `CREATE TABLE machines (
      name TEXT PRIMARY KEY,
      about TEXT NOT NULL,
      registered_by TEXT NOT NULL,
      registered_at INTEGER NOT NULL,
      last_seen INTEGER
    ) STRICT, WITHOUT ROWID`,
    "CREATE TABLE running (at INTEGER NOT NULL) STRICT",
    "INSERT INTO running VALUES (0)"
  )
}

/** The schema that this version knows. */
export const LATEST = Object.keys(migrations).length

const TABLE = "migrations"

/** Brings the tables up to date; a newer schema stays as it is. Succeeds with the number of the schema that stands. */
export const migrate = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* Migrator.make({})({ loader: Migrator.fromRecord(migrations), table: TABLE })
  const [latest] = yield* sql<{ readonly schema: number }>`SELECT max(migration_id) AS schema FROM ${sql(TABLE)}`
  const schema = latest?.schema ?? 0
  // The library takes a failure to begin for another program at work, and goes on.
  return schema < LATEST ? yield* new SqlError({ cause: { code: "SQLITE_BUSY" } }) : schema
})
