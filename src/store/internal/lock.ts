/**
 * Mutual exclusion between programs that write the same file: a lock file beside it, created exclusively. One that is
 * older than any writer lives was left by a crash and is taken over.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { FILE_LOCK_RETRY, FILE_LOCK_STALE, FILE_LOCK_TIMEOUT } from "../../protocol/Limits.ts"
import { attempt, FileProblem, makeFolderOf } from "./files.ts"

/** Moves a stale lock away; puts it back if, in the meantime, somebody else had done so and taken it anew. */
const takeAway = (lock: string, seen: number) =>
  attempt(lock, async () => {
    const aside = `${lock}.${Crypto.randomBytes(4).toString("hex")}`
    await Fs.rename(lock, aside)
    const { mtimeMs } = await Fs.stat(aside)
    if (mtimeMs !== seen) await Fs.link(aside, lock).catch(() => {})
    await Fs.rm(aside, { force: true })
  })

const acquire = (file: string): Effect.Effect<string, FileProblem> =>
  Effect.gen(function* () {
    yield* makeFolderOf(file)
    const lock = `${file}.lock`
    const deadline = (yield* Clock.currentTimeMillis) + FILE_LOCK_TIMEOUT
    while (true) {
      const taken = yield* attempt(lock, () =>
        Fs.writeFile(lock, `${process.pid}\n`, { flag: "wx", mode: 0o600 })
      ).pipe(
        Effect.as(true),
        Effect.catchIf(
          (problem) => problem.code === "EEXIST",
          () => Effect.succeed(false)
        )
      )
      if (taken) return lock
      const since = yield* Effect.orElseSucceed(
        attempt(lock, async () => (await Fs.stat(lock)).mtimeMs),
        () => undefined
      )
      if (since !== undefined && Date.now() - since > FILE_LOCK_STALE) yield* Effect.ignore(takeAway(lock, since))
      else if ((yield* Clock.currentTimeMillis) >= deadline) {
        return yield* new FileProblem({
          file,
          code: "EBUSY",
          problem: `another program is writing it; if none is, remove ${lock}`
        })
      } else yield* Effect.sleep(FILE_LOCK_RETRY)
    }
  })

/** Runs `use` while no other program runs one for the same file. */
export const withLock = <A, E>(file: string, use: Effect.Effect<A, E>): Effect.Effect<A, E | FileProblem> =>
  Effect.acquireUseRelease(
    acquire(file),
    () => use,
    (lock) => Effect.promise(() => Fs.rm(lock, { force: true }).catch(() => {}))
  )
