/**
 * Mutual exclusion between programs that change the same installation: a file with the number of the process that does. One
 * whose process is gone, or that is older than any update, was left by a crash and is taken over.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { FILE_LOCK_RETRY, UPDATE_LOCK_STALE, UPDATE_PROVE_TIMEOUT } from "../../../protocol/Limits.ts"
import { InstallError } from "../InstallError.ts"
import { attempt, codeOf } from "./disk.ts"

/** Locks of this process: in a container, a process that crashed may have had the same number. */
const held = new Set<string>()

/** Whether a process of that number is there. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return codeOf(cause) === "EPERM"
  }
}

/** When a lock was left, if it was; undefined while somebody holds it, or nobody does. */
const leftAt = async (lock: string): Promise<number | undefined> => {
  const [stat, text] = await Promise.all([Fs.stat(lock), Fs.readFile(lock, "utf8")])
  const pid = Number(text)
  const isOurs = pid === process.pid
  const isHeld = isOurs ? held.has(lock) : Number.isInteger(pid) && pid > 0 && isAlive(pid)
  return isHeld && (isOurs || Date.now() - stat.mtimeMs < UPDATE_LOCK_STALE) ? undefined : stat.mtimeMs
}

/** Moves a lock that was left away; puts it back if somebody else had done so meanwhile, and taken it anew. */
const takeAway = async (lock: string, seen: number) => {
  const aside = `${lock}.${Crypto.randomBytes(4).toString("hex")}`
  await Fs.rename(lock, aside)
  const { mtimeMs } = await Fs.stat(aside)
  if (mtimeMs !== seen) await Fs.link(aside, lock).catch(() => {})
  await Fs.rm(aside, { force: true })
}

const acquire = (lock: string, patience: number) =>
  Effect.gen(function* () {
    const deadline = (yield* Clock.currentTimeMillis) + patience
    while (true) {
      const taken = yield* attempt(lock, async () => {
        try {
          await Fs.writeFile(lock, String(process.pid), { flag: "wx", mode: 0o644 })
          held.add(lock)
          return true
        } catch (cause) {
          if (codeOf(cause) !== "EEXIST") throw cause
        }
        const left = await leftAt(lock).catch(() => undefined)
        if (left !== undefined) await takeAway(lock, left).catch(() => {})
        return false
      })
      if (taken) return lock
      if ((yield* Clock.currentTimeMillis) >= deadline) {
        return yield* new InstallError({
          kind: "busy",
          message: `another update is under way; if none is, remove ${lock}`
        })
      }
      yield* Effect.sleep(FILE_LOCK_RETRY)
    }
  })

/** Runs `use` while no other program runs one under the same lock; waits for it `patience` milliseconds at most. */
export const withLock = <A, E, R>(
  lock: string,
  patience: number,
  use: Effect.Effect<A, E, R>
): Effect.Effect<A, E | InstallError, R> =>
  Effect.acquireUseRelease(
    Effect.interruptible(acquire(lock, patience)),
    () => use,
    () =>
      Effect.promise(async () => {
        held.delete(lock)
        await Fs.rm(lock, { force: true }).catch(() => {})
      })
  )

/** How long a change waits for another one: that proves a version at most. */
const PATIENCE = 3 * UPDATE_PROVE_TIMEOUT

/** Changes the installation in a folder, while nobody else does. */
export const changing = <A, E, R>(home: string, use: Effect.Effect<A, E, R>): Effect.Effect<A, E | InstallError, R> =>
  withLock(Path.join(home, "update.lock"), PATIENCE, use)
