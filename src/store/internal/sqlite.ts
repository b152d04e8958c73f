/**
 * Opens SQLite files. The only place that loads SQLite's native module, and not before a file is opened, so that help and
 * version need none of it. What goes wrong with the module or with a file becomes a sentence for a person.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { DATABASE_RETRY, DATABASE_TIMEOUT } from "../../protocol/Limits.ts"
import * as Files from "./files.ts"

/** A database that cannot be used, or a statement that failed. The message says what to do. */
export class DatabaseError extends Data.TaggedError("DatabaseError")<{
  /** SQLite's or the system's word for it: SQLITE_FULL, ENOENT; `addon` when SQLite itself is missing. */
  readonly code: string
  readonly message: string
}> {}

const codeOf = (cause: unknown): string | undefined => {
  if (Predicate.hasProperty(cause, "code") && typeof cause.code === "string") return cause.code
  return Predicate.hasProperty(cause, "cause") ? codeOf(cause.cause) : undefined
}

const away = "move it, its -wal and its -shm away to begin a new one; identities and grants are not in it"

/** By the first two words of SQLite's code: SQLITE_IOERR_WRITE is an SQLITE_IOERR. */
const sentences = new Map([
  ["SQLITE_BUSY", "another program is writing it"],
  ["SQLITE_CANTOPEN", "it cannot be opened; check the permissions of the file and its folder"],
  ["SQLITE_CORRUPT", `it is damaged; ${away}`],
  ["SQLITE_FULL", "no space left on the device"],
  ["SQLITE_IOERR", "the disk refuses to read or write it"],
  ["SQLITE_NOTADB", `this is no SQLite database; ${away}`],
  ["SQLITE_PERM", "permission denied"],
  ["SQLITE_READONLY", "it cannot be written; check the permissions of the file and its folder"]
])

const missing = new DatabaseError({
  code: "addon",
  message:
    "SQLite is missing, or not built for this Node.js; run: npm install, or npm rebuild better-sqlite3 (it needs python3, make and g++)"
})

/** What a failed statement, or a defect of the library, means for a file. */
export const errorOf =
  (file: string) =>
  (cause: unknown): DatabaseError => {
    if (cause instanceof DatabaseError) return cause
    const code = codeOf(cause) ?? "SQLITE_ERROR"
    const sentence = sentences.get(code.split("_", 2).join("_")) ?? `it cannot be used (${code})`
    return new DatabaseError({ code, message: `${file}: ${sentence}` })
  }

const isBusy = (error: SqlError): boolean => codeOf(error)?.startsWith("SQLITE_BUSY") === true

const again = Schedule.upTo(Schedule.spaced(DATABASE_RETRY), DATABASE_TIMEOUT)

/** Runs statements, again while another program writes. A schedule is set up only when it does. */
export const retried = <A>(file: string, statements: Effect.Effect<A, SqlError>): Effect.Effect<A, DatabaseError> =>
  statements.pipe(
    Effect.catchIf(isBusy, () =>
      Effect.delay(Effect.retry(statements, { while: isBusy, schedule: again }), DATABASE_RETRY)
    ),
    Effect.catchAllDefect((defect) => Effect.fail(defect)),
    Effect.mapError(errorOf(file))
  )

/**
 * Makes the file for its owner only; SQLite gives the files beside it the same owner and permissions. What root makes
 * belongs to whoever owns the folder: `telahubd user` may come first, and a hub without root's rights next.
 */
const create = (file: string): Effect.Effect<void, DatabaseError> =>
  Files.createOnce(file, "").pipe(
    Effect.zipRight(
      Files.attempt(file, async () => {
        if (process.getuid?.() !== 0) return
        const { gid, uid } = await Fs.stat(Path.dirname(file))
        await Fs.chown(file, uid, gid)
      })
    ),
    Effect.catchIf(
      (problem) => problem.code === "EEXIST",
      () => Effect.void
    ),
    Effect.mapError(({ code, problem }) => new DatabaseError({ code, message: `${file}: ${problem}` }))
  )

/**
 * Connects to a file; closed with the scope. No statement waits for another program: SQLite would wait in place, and with
 * it everything that this process relays.
 */
export const connect = (config: {
  readonly filename: string
  readonly disableWAL?: boolean
}): Effect.Effect<SqlClient.SqlClient, DatabaseError, Scope.Scope> =>
  Effect.gen(function* () {
    const file = config.filename
    const library = yield* Effect.tryPromise({
      try: () => import("@effect/sql-sqlite-node/SqliteClient"),
      catch: () => missing
    })
    const context = yield* Layer.build(library.layer(config)).pipe(
      // The library throws what it meets while it opens; only SQLite's own errors are about the file.
      Effect.catchAllDefect((defect) => (codeOf(defect)?.startsWith("SQLITE_") ? Effect.fail(defect) : missing)),
      Effect.mapError(errorOf(file))
    )
    const sql = Context.get(context, SqlClient.SqlClient)
    yield* Effect.mapError(sql`PRAGMA busy_timeout = 0`, errorOf(file))
    return sql
  })

/** Fails when SQLite itself cannot be used; touches no file. */
export const available: Effect.Effect<void, DatabaseError> = Effect.scoped(
  Effect.asVoid(connect({ filename: ":memory:" }))
)

/** A file that is made when it is not there, in WAL mode. */
export const open = (file: string): Effect.Effect<SqlClient.SqlClient, DatabaseError, Scope.Scope> =>
  available.pipe(Effect.zipRight(create(file)), Effect.zipRight(connect({ filename: file })))
