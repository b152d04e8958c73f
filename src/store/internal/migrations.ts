/**
 * The tables of telahubd.db, as each version of the hub added to them. What was released here is never changed.
 *
 * A hub goes back by itself to the version before when a new one does not work, and that one must then be able to start
 * on what the new one has left. So from the fourth on a migration only adds: tables, and columns with a default, which the
 * statements of earlier hubs do not name; and nothing goes into columns that are there which earlier hubs do not know.
 * Each says from which schema on hubs go on with it. What has to break that takes two releases: the first one can
 * read both, and only the one after it writes the new.
 */
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"

const statements = (...texts: ReadonlyArray<string>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.forEach(texts, (text) => sql.unsafe(text), { discard: true }))

/**
 * A migration that adds. Hubs that know the schema `readableFrom` go on with the tables after it, which the database says
 * (PRAGMA user_version), since they cannot know its successors.
 */
export const adding = (readableFrom: number, ...texts: ReadonlyArray<string>) =>
  statements(...texts, `PRAGMA user_version = ${readableFrom}`)

/** By number and name, in order. */
export const migrations = {
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

/** The tables as they stand. */
export interface Standing {
  /** The number of the last migration. */
  readonly schema: number
  /** The lowest schema whose hubs can go on with them. */
  readonly readableFrom: number
}

/** Brings the tables up to date; a newer schema stays as it is. */
export const migrate = (known: Parameters<typeof Migrator.fromRecord>[0] = migrations) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* Migrator.make({})({ loader: Migrator.fromRecord(known), table: TABLE })
    const [latest] = yield* sql<{ readonly schema: number }>`SELECT max(migration_id) AS schema FROM ${sql(TABLE)}`
    const [said] = yield* sql<{ readonly user_version: number }>`PRAGMA user_version`
    const schema = latest?.schema ?? 0
    // The library takes a failure to begin for another program at work, and goes on.
    if (schema < Object.keys(known).length) return yield* new SqlError({ cause: { code: "SQLITE_BUSY" } })
    const standing: Standing = { schema, readableFrom: said?.user_version || schema }
    return standing
  })
