/**
 * Mutual exclusion between programs that change the same installation: a file with the number of the process that does, and
 * what tells it from another one of that number. One whose process is gone, or that is older than any update, was left by a
 * crash and is taken over.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { FILE_LOCK_RETRY, UPDATE_LOCK_PATIENCE, UPDATE_LOCK_STALE } from "../../../protocol/Limits.ts"
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

/** Of which start of the machine a process is, and when it was started since; what the system does not tell is undefined. */
interface Start {
  readonly boot: string | undefined
  readonly ticks: string | undefined
}

const startOf = async (pid: number): Promise<Start> => {
  const read = (file: string) => Fs.readFile(file, "latin1").catch(() => undefined)
  const [boot, stat] = await Promise.all([read("/proc/sys/kernel/random/boot_id"), read(`/proc/${pid}/stat`)])
  // Behind the name, which stands in brackets and may hold anything, it is the 20th word (proc(5), starttime).
  return { boot: boot?.trim(), ticks: stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19] }
}

/** What a lock of this process says: `<pid> <boot> <ticks>`, or the number alone. */
const ownText = async (): Promise<string> => {
  const { boot, ticks } = await startOf(process.pid)
  return boot === undefined || ticks === undefined ? String(process.pid) : `${process.pid} ${boot} ${ticks}`
}

const areOther = (a: string | undefined, b: string | undefined) => a !== undefined && b !== undefined && a !== b

/** Whether the process that has written a lock is still there. Numbers are given out again, after a restart from 1 on. */
const isThere = async (text: string): Promise<boolean> => {
  const [number, boot, ticks] = text.split(" ")
  const pid = Number(number)
  if (!Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return false
  const now = await startOf(pid)
  return !areOther(boot, now.boot) && !areOther(ticks, now.ticks)
}

/** When a lock was left, if it was; undefined while somebody holds it, or nobody does. */
const leftAt = async (lock: string): Promise<number | undefined> => {
  const [stat, text] = await Promise.all([Fs.stat(lock), Fs.readFile(lock, "utf8")])
  const isOurs = Number(text.split(" ")[0]) === process.pid
  const isHeld = isOurs ? held.has(lock) : await isThere(text)
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
    const text = yield* Effect.promise(ownText)
    while (true) {
      const taken = yield* attempt(lock, async () => {
        try {
          await Fs.writeFile(lock, text, { flag: "wx", mode: 0o644 })
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

/** Changes the installation in a folder, while nobody else does. */
export const changing = <A, E, R>(home: string, use: Effect.Effect<A, E, R>): Effect.Effect<A, E | InstallError, R> =>
  withLock(Path.join(home, "update.lock"), UPDATE_LOCK_PATIENCE, use)
