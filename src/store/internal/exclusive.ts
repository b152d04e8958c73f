/**
 * Mutual exclusion between programs that write the same file. Node has no lock that the system frees when its holder is
 * killed, but SQLite has: a transaction on an empty database beside the file.
 * Programs that go without SQLite use {@link file://./lock.ts}.
 */
import * as Fs from "node:fs"
import type { Connection } from "@effect/sql/SqlConnection"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { HUB_LOCK_RETRY, HUB_LOCK_TIMEOUT } from "../../protocol/Limits.ts"
import { turn } from "../../transport/Slices.ts"
import { attempt, FileProblem } from "./files.ts"
import * as Sqlite from "./sqlite.ts"

/**
 * Which file the database is. Created empty if it is not there, for the owner of the file that it guards: root may be
 * first, and a hub without its rights next.
 */
const inodeOf = (lock: string, file: string): Effect.Effect<bigint, FileProblem> =>
  attempt(lock, async () => {
    const found = Fs.statSync(lock, { bigint: true, throwIfNoEntry: false })
    if (found !== undefined) return found.ino
    const { gid, uid } = Fs.statSync(file)
    // In one turn: closing a file takes away what this process holds of it, so nobody of this process may hold it yet.
    const fd = Fs.openSync(lock, "a", 0o600)
    try {
      if (process.getuid?.() === 0) Fs.fchownSync(fd, uid, gid)
      return Fs.fstatSync(fd, { bigint: true }).ino
    } finally {
      Fs.closeSync(fd)
    }
  })

/** The lock of a file: beside it, under its name. */
const lockOf = (file: string): string => `${file.replace(/\.ya?ml$/, "")}.lock`

/** An open database, and which file it is: one that was removed locks nobody out any more. */
interface Held {
  readonly lock: string
  readonly inode: bigint
  readonly connection: Connection
  readonly scope: Scope.CloseableScope
}

/** Its only connection, kept for as long as the scope: asking for it each time takes more than the statement. */
const connected = (lock: string): Effect.Effect<Connection, Sqlite.DatabaseError, Scope.Scope> =>
  Effect.gen(function* () {
    const sql = yield* Sqlite.connect({ filename: lock, disableWAL: true })
    // Nothing is ever written in it, so that there is nothing to keep in a file beside it.
    yield* Sqlite.retried(lock, sql`PRAGMA journal_mode = MEMORY`)
    return yield* sql.reserve
  }).pipe(Effect.mapError(Sqlite.errorOf(lock)))

/** Runs something while no other program runs something so for the same file. Its owner calls it once at a time. */
export type Exclusive = <A, E>(file: string, use: Effect.Effect<A, E>) => Effect.Effect<A, E | FileProblem>

/**
 * The database stays open from one use to the next, until the scope ends: opening it is most of the work. The system frees
 * the lock of a program that is killed.
 */
export const make: Effect.Effect<Exclusive, never, Scope.Scope> = Effect.gen(function* () {
  let held: Held | undefined
  const close = Effect.suspend(() => {
    const scope = held?.scope
    held = undefined
    return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
  })
  yield* Effect.addFinalizer(() => close)

  const open = Effect.fnUntraced(function* (lock: string, file: string) {
    const inode = yield* inodeOf(lock, file)
    if (held?.lock === lock && held.inode === inode) return held.connection
    yield* close
    const scope = yield* Scope.make()
    const opened = yield* Effect.exit(Scope.extend(connected(lock), scope))
    if (Exit.isFailure(opened)) {
      yield* Scope.close(scope, opened)
      return yield* opened
    }
    held = { lock, inode, connection: opened.value, scope }
    return opened.value
  })

  const acquire = Effect.fnUntraced(
    function* (lock: string, file: string) {
      const connection = yield* open(lock, file)
      const deadline = (yield* Clock.currentTimeMillis) + HUB_LOCK_TIMEOUT
      while (true) {
        const begun = connection.execute("BEGIN IMMEDIATE", [], undefined)
        const taken = yield* Effect.either(Effect.mapError(begun, Sqlite.errorOf(lock)))
        if (Either.isRight(taken)) return connection
        if (!taken.left.code.startsWith("SQLITE_BUSY")) {
          yield* close
          return yield* taken.left
        }
        if ((yield* Clock.currentTimeMillis) >= deadline) {
          return yield* new FileProblem({
            file: lock,
            code: "EBUSY",
            problem: "another program is writing it; try again in a moment"
          })
        }
        yield* Effect.interruptible(Effect.sleep(HUB_LOCK_RETRY))
      }
    },
    (taking, lock) =>
      Effect.catchTag(
        taking,
        "DatabaseError",
        ({ code, message }) => new FileProblem({ file: lock, code, problem: message })
      )
  )

  return (file, use) =>
    Effect.acquireUseRelease(
      acquire(lockOf(file), file),
      // What it takes to lock, what is done meanwhile, and what it takes to unlock have turns of their own.
      () => Effect.zipRight(turn, use),
      // A transaction that cannot be ended goes with its connection.
      ({ execute }) =>
        Effect.zipRight(
          turn,
          Effect.catchAllCause(execute("ROLLBACK", [], undefined), () => close)
        )
    )
})
