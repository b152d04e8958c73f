/**
 * Mutual exclusion between programs that write the same file. Node has no lock that the system frees when its holder is
 * killed, but SQLite has: a transaction on an empty database beside the file.
 */
import * as Fs from "node:fs"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
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

const codeOf = (error: unknown): string => {
  let cause = error
  while (Predicate.hasProperty(cause, "cause") && !Predicate.hasProperty(cause, "code")) cause = cause.cause
  return Predicate.hasProperty(cause, "code") ? String(cause.code) : "SQLITE_ERROR"
}

const problem = (lock: string, error: unknown) => {
  const code = codeOf(error)
  return new FileProblem({ file: lock, code, problem: `${lock} cannot be locked (${code})` })
}

const addonProblem = (lock: string, { code, message }: Sqlite.DatabaseError) =>
  new FileProblem({ file: lock, code, problem: message })

const acquire = (lock: string, file: string): Effect.Effect<void, FileProblem, Scope.Scope> =>
  Effect.gen(function* () {
    yield* create(lock, file)
    const sql = yield* Sqlite.connect({ filename: lock, disableWAL: true }).pipe(
      Effect.mapError((error) => (error.code === "addon" ? addonProblem(lock, error) : problem(lock, error)))
    )
    const deadline = (yield* Clock.currentTimeMillis) + HUB_LOCK_TIMEOUT
    while (true) {
      const taken = yield* Effect.either(sql.unsafe("BEGIN IMMEDIATE"))
      if (taken._tag === "Right") return
      if (codeOf(taken.left) !== "SQLITE_BUSY") return yield* problem(lock, taken.left)
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

/** Runs `use` while no other program runs one for the same file. The system frees the lock of a program that is killed. */
export const exclusively = <A, E, R>(file: string, use: Effect.Effect<A, E, R>): Effect.Effect<A, E | FileProblem, R> =>
  Effect.scopedWith((scope) =>
    Effect.zipRight(Effect.provideService(acquire(lockOf(file), file), Scope.Scope, scope), use)
  )

/** The lock of a file: beside it, under its name. */
export const lockOf = (file: string): string => `${file.replace(/\.ya?ml$/, "")}.lock`
