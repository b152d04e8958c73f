/**
 * telahubd.db: what happened at a hub and the pairing codes it gave out, in SQLite. Identities and grants are not here
 * but in the hub's file. Several programs may use it at once.
 *
 * The log is written ahead and synchronised with the disk only when it is moved into the database, by a thread of its
 * own. So a statement never waits for the disk; a crash of a program loses nothing, and one of the whole machine the last
 * moments, which a start finds out from the revision of the hub's file. What must survive that too waits for `synced`.
 */
import * as Fs from "node:fs/promises"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { DATABASE_CHECKPOINT_WRITES } from "../protocol/Limits.ts"
import { turn } from "../transport/Slices.ts"
import { checkpoint } from "./internal/checkpoints.ts"
import { LATEST, migrate } from "./internal/migrations.ts"
import * as Sqlite from "./internal/sqlite.ts"

export { available, DatabaseError } from "./internal/sqlite.ts"

/**
 * Runs a statement and succeeds with its rows. On the connection itself, in a dozen steps of a fiber: a statement that
 * looks for a connection first takes eighty, which is most of what it costs.
 */
export type Run = <A extends object>(statement: Statement.Statement<A>) => Effect.Effect<ReadonlyArray<A>, SqlError>

export class Database extends Context.Tag("tela/store/Database")<
  Database,
  {
    /** Makes statements for the two below; they are not run by themselves. */
    readonly sql: Statement.Constructor
    /** Runs a statement that reads. */
    readonly read: <A extends object>(
      statement: Statement.Statement<A>
    ) => Effect.Effect<ReadonlyArray<A>, Sqlite.DatabaseError>
    /** Runs statements as one transaction, again while another program writes. Nothing among them may wait. */
    readonly write: <A>(statements: (run: Run) => Effect.Effect<A, SqlError>) => Effect.Effect<A, Sqlite.DatabaseError>
    /** Succeeds when everything written before is on disk, whatever becomes of the machine. */
    readonly synced: Effect.Effect<void, Sqlite.DatabaseError>
  }
>() {}

/** Brings the tables up to date; refuses those of a newer hub, unless that has left them so that this one can go on. */
const upToDate = (file: string, sql: SqlClient.SqlClient): Effect.Effect<void, Sqlite.DatabaseError> =>
  Effect.gen(function* () {
    const damaged = yield* Sqlite.retried(file, sql<{ readonly quick_check: string }>`PRAGMA quick_check(1)`)
    if (damaged[0]?.quick_check !== "ok") return yield* Sqlite.errorOf(file)({ code: "SQLITE_CORRUPT" })
    const { readableFrom, schema } = yield* migrate().pipe(
      Effect.catchTag("MigrationError", Effect.die),
      Effect.provideService(SqlClient.SqlClient, sql),
      (statements) => Sqlite.retried(file, statements)
    )
    if (readableFrom > LATEST) {
      return yield* new Sqlite.DatabaseError({
        code: "newer",
        message: `${file}: a newer telahubd has written it (schema ${schema}, this one knows ${LATEST}); update telahubd`
      })
    }
    if (schema > LATEST) {
      yield* Effect.logInfo("a newer telahubd has added to the database; this one goes on with it", { file, schema })
    }
  })

const sql = Statement.make(
  Effect.dieMessage("a statement on telahubd.db is run by read or write"),
  Statement.makeCompilerSqlite(),
  [],
  undefined
)

/** Runs what reads at once, and transactions one after the other, on a connection that is only theirs. */
const runner = ({ execute }: Connection) => {
  const turns = Effect.unsafeMakeSemaphore(1)
  let isWriting = false
  const run: Run = (statement) => execute(...statement.compile(), undefined)
  const say = (word: string) => execute(word, [], undefined)
  const begin = Effect.tap(say("BEGIN IMMEDIATE"), () => Effect.sync(() => (isWriting = true)))
  const rollBack = Effect.ignore(say("ROLLBACK"))
  return {
    say,
    /** Sees nothing of a transaction that is not committed. */
    read: <A extends object>(statement: Statement.Statement<A>) =>
      Effect.suspend(() => (isWriting ? turns.withPermits(1)(run(statement)) : run(statement))),
    transaction: <A>(statements: (run: Run) => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> => {
      // What it takes to begin has a turn of its own, and so has what it takes to commit, a write to the disk among it.
      const made = turn.pipe(Effect.zipRight(statements(run)), Effect.zipLeft(turn), Effect.zipLeft(say("COMMIT")))
      const ended = Effect.onError(made, () => rollBack).pipe(Effect.ensuring(Effect.sync(() => (isWriting = false))))
      return Effect.uninterruptible(turns.withPermits(1)(Effect.zipRight(begin, ended)))
    }
  }
}

/** Opens the database, which is made at the first use, and brings its tables up to date. Closed with the scope. */
export const make = (file: string): Effect.Effect<typeof Database.Service, Sqlite.DatabaseError, Scope.Scope> =>
  Effect.gen(function* () {
    const client = yield* Sqlite.open(file)
    yield* upToDate(file, client)
    const { read, say, transaction } = runner(yield* Effect.mapError(client.reserve, Sqlite.errorOf(file)))
    yield* Sqlite.retried(file, Effect.zip(say("PRAGMA synchronous = NORMAL"), say("PRAGMA wal_autocheckpoint = 0")))

    let writes = 0
    const due = yield* Effect.makeLatch()
    const counted = Effect.suspend(() => (++writes % DATABASE_CHECKPOINT_WRITES === 0 ? due.open : Effect.void))
    yield* due.await.pipe(
      Effect.zipRight(due.close),
      Effect.zipRight(Effect.uninterruptible(checkpoint(file))),
      // Then it is done in place, as by SQLite's own rule.
      Effect.tapError((cause) => Effect.logDebug("no thread moves the log of the database", cause)),
      Effect.forever,
      Effect.catchAll(() => Effect.ignore(say("PRAGMA wal_autocheckpoint = 1000"))),
      Effect.forkScoped
    )

    return {
      sql,
      read: (statement) => Sqlite.retried(file, read(statement)),
      write: (statements) => Effect.zipLeft(Sqlite.retried(file, transaction(statements)), counted),
      synced: Effect.tryPromise({
        try: async () => {
          const log = await Fs.open(`${file}-wal`, "r+")
          try {
            await log.datasync()
          } finally {
            await log.close()
          }
        },
        catch: Sqlite.errorOf(file)
      })
    }
  })

/**
 * Copies a database as it is at this moment to a file that is not there yet, whoever else has it open.
 */
export const copy = (from: string, to: string): Effect.Effect<void, Sqlite.DatabaseError> =>
  Sqlite.connect({ filename: from }).pipe(
    Effect.flatMap((sql) => Sqlite.retried(from, sql`VACUUM INTO ${to}`)),
    Effect.asVoid,
    Effect.scoped
  )

export const layer = (file: string): Layer.Layer<Database, Sqlite.DatabaseError> => Layer.scoped(Database, make(file))
