/**
 * Puts files into a service's folder. The folder may belong to the service's own user while root writes into it, so that
 * nothing in it is trusted: files are made elsewhere, given to the folder's owner, and moved in whole, by which a link that
 * lies in their place is replaced and never followed.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import { ServiceError } from "./ServiceError.ts"

const codeOf = (cause: unknown): string =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : "EIO"

const advice = new Map([
  ["EACCES", "permission denied; run it as root (sudo), or install it for yourself alone with -user"],
  ["EPERM", "permission denied; run it as root (sudo), or install it for yourself alone with -user"],
  ["EROFS", "the file system is read-only"],
  ["ENOSPC", "no space left on the device"],
  ["ENOTDIR", "a part of the path is not a folder"]
])

/** Runs a promise of node:fs and says what failed. */
export const attempt = <A>(file: string, run: () => Promise<A>): Effect.Effect<A, ServiceError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => {
      const code = codeOf(cause)
      return new ServiceError({ problem: `${file}: ${advice.get(code) ?? `it cannot be used (${code})`}` })
    }
  })

/** What `run` gives; undefined when the file is not there. */
export const unlessMissing = <A>(file: string, run: () => Promise<A>): Effect.Effect<A | undefined, ServiceError> =>
  attempt(file, () =>
    run().catch((cause: unknown) => {
      if (codeOf(cause) === "ENOENT") return undefined
      throw cause
    })
  )

/** Whether something of that name is there, a link that leads nowhere included. */
export const exists = (file: string): Effect.Effect<boolean, ServiceError> =>
  Effect.map(
    unlessMissing(file, () => Fs.lstat(file)),
    (stat) => stat !== undefined
  )

export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** Whom a folder belongs to, or would belong to if it were made now. */
export const ownerOf = (folder: string): Effect.Effect<Owner, ServiceError> =>
  Effect.map(
    unlessMissing(folder, () => Fs.stat(folder)),
    (stat) => ({ uid: stat?.uid ?? process.getuid?.() ?? 0, gid: stat?.gid ?? process.getgid?.() ?? 0 })
  )

/** Makes a service's folder, for its owner only; those above it as `mode` says, where they are missing. */
export const makeFolder = (folder: string, mode: number): Effect.Effect<void, ServiceError> =>
  attempt(folder, async () => {
    await Fs.mkdir(Path.dirname(folder), { recursive: true, mode })
    await Fs.mkdir(folder, { mode: 0o700 }).catch((cause: unknown) => {
      if (codeOf(cause) !== "EEXIST") throw cause
    })
  })

/** A folder of the caller's beside a service's folder, on the same file system; removed with the scope. */
export const stage = (folder: string): Effect.Effect<string, ServiceError, Scope.Scope> =>
  Effect.acquireRelease(
    attempt(folder, async () => {
      const real = await Fs.realpath(folder)
      return Fs.mkdtemp(Path.join(Path.dirname(real), ".tela-install-"))
    }),
    (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
  )

/** Gives a staged file to the folder's owner, for that owner only, and moves it into its place. */
export const put = (staged: string, target: string, owner: Owner): Effect.Effect<void, ServiceError> =>
  attempt(target, async () => {
    const handle = await Fs.open(staged, "r+")
    try {
      await handle.chmod(0o600)
      const { gid, uid } = await handle.stat()
      if (uid !== owner.uid || gid !== owner.gid) await handle.chown(owner.uid, owner.gid)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await Fs.rename(staged, target)
  })

/** Moves what is there out of the way. */
export const setAside = (target: string, name: string): Effect.Effect<void, ServiceError> =>
  attempt(target, () => Fs.rename(target, name))

/** Replaces a file that everybody may read as a whole, in a folder that is made if it is missing. */
export const publish = (file: string, text: string, encoding: "utf8" | "utf16le"): Effect.Effect<void, ServiceError> =>
  attempt(file, async () => {
    await Fs.mkdir(Path.dirname(file), { recursive: true, mode: 0o755 })
    const temporary = `${file}.${Crypto.randomBytes(4).toString("hex")}.tmp`
    try {
      // Windows tells the encoding by the mark at the beginning.
      await Fs.writeFile(temporary, encoding === "utf8" ? text : `\uFEFF${text}`, { encoding, flag: "wx", mode: 0o644 })
      await Fs.rename(temporary, file)
    } catch (cause) {
      await Fs.rm(temporary, { force: true })
      throw cause
    }
  })
