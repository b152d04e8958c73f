/**
 * Mutual exclusion between programs that write the same file. Node has no lock that the system frees when its holder is
 * killed, but SQLite has: a transaction on an empty database beside the file.
 * Programs that go without SQLite use {@link file://./lock.ts}.
 */
import * as Fs from "node:fs"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import { HUB_LOCK_RETRY, HUB_LOCK_TIMEOUT } from "../../protocol/Limits.ts"
import { attempt, FileProblem } from "./files.ts"
import * as Sqlite from "./sqlite.ts"

/** Creates the database empty, for the owner of the file that it guards: root may be first, and a hub without its rights next. */
const create = (lock: string, file: string) =>
  attempt(lock, async () => {
    if (Fs.existsSync(lock)) return
    const { gid, uid } = Fs.statSync(file)
    // In one turn: closing a file takes away what this process holds of it, so nobody of this process may hold it yet.
    const fd = Fs.openSync(lock, "a", 0o600)
    try {
      if (process.getuid?.() === 0) Fs.fchownSync(fd, uid, gid)
    } finally {
      Fs.closeSync(fd)
    }
  })

const acquire = (lock: string, file: string): Effect.Effect<void, FileProblem | Sqlite.DatabaseError, Scope.Scope> =>
  Effect.gen(function* () {
    yield* create(lock, file)
    const sql = yield* Sqlite.connect({ filename: lock, disableWAL: true })
    const deadline = (yield* Clock.currentTimeMillis) + HUB_LOCK_TIMEOUT
    while (true) {
      const taken = yield* Effect.either(Effect.mapError(sql.unsafe("BEGIN IMMEDIATE"), Sqlite.errorOf(lock)))
      if (Either.isRight(taken)) return
      if (!taken.left.code.startsWith("SQLITE_BUSY")) return yield* taken.left
      if ((yield* Clock.currentTimeMillis) >= deadline) {
        return yield* new FileProblem({
          file: lock,
          code: "EBUSY",
          problem: "another program is writing it; try again in a moment"
        })
      }
      yield* Effect.sleep(HUB_LOCK_RETRY)
    }
  })

/** The lock of a file: beside it, under its name. */
const lockOf = (file: string): string => `${file.replace(/\.ya?ml$/, "")}.lock`

/** Runs `use` while no other program runs one for the same file. The system frees the lock of a program that is killed. */
export const exclusively = <A, E>(file: string, use: Effect.Effect<A, E>): Effect.Effect<A, E | FileProblem> => {
  const lock = lockOf(file)
  const acquired = Effect.catchTag(
    acquire(lock, file),
    "DatabaseError",
    ({ code, message }) => new FileProblem({ file: lock, code, problem: message })
  )
  return Effect.scoped(Effect.zipRight(acquired, use))
}
