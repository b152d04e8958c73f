/** Files of an installation: written so that after a power cut there is either the whole of them or nothing. */
import { constants } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import { INSTALLATION_FILE_BYTES } from "../../../protocol/Limits.ts"
import { InstallError } from "../InstallError.ts"

const sentences = new Map([
  ["EACCES", "permission denied"],
  ["EPERM", "permission denied"],
  ["EROFS", "the file system is read-only"],
  ["ENOSPC", "no space left on the device"],
  ["EDQUOT", "no space left on the device"],
  ["ENOENT", "no such file"]
])

/** The system's code of a failure: ENOENT, EEXIST, ... */
export const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "EIO"

/** Runs a promise of node:fs, and names the file when it fails. */
export const attempt = <A>(file: string, run: () => Promise<A>): Effect.Effect<A, InstallError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => {
      const code = codeOf(cause)
      return new InstallError({
        kind: "unwritable",
        message: `${file}: ${sentences.get(code) ?? `it cannot be used (${code})`}; whoever updates must be able to write there`
      })
    }
  })

/** The text of a small file. What is no file, a pipe for instance that nobody writes, is refused and not waited for. */
export const readText = async (file: string): Promise<string> => {
  const handle = await Fs.open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw Object.assign(new Error("no file"), { code: "ENOTFILE" })
    if (stat.size > INSTALLATION_FILE_BYTES) throw Object.assign(new Error("too large"), { code: "ETOOBIG" })
    return await handle.readFile("utf8")
  } finally {
    await handle.close()
  }
}

/** Waits until a folder's names are on disk. Windows and some file systems cannot; a rename is then as durable as they make it. */
export const syncFolder = async (folder: string): Promise<void> => {
  const handle = await Fs.open(folder, "r").catch(() => undefined)
  if (handle === undefined) return
  try {
    await handle.sync().catch(() => {})
  } finally {
    await handle.close()
  }
}

/** Who is to own what is written: root leaves it to the owner of the installation. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** Writes a file that is not there yet, to the disk. */
export const write = async (file: string, bytes: Uint8Array | string, mode: number, owner?: Owner): Promise<void> => {
  const handle = await Fs.open(file, "wx", mode)
  try {
    await handle.writeFile(bytes)
    // Whatever umask the program runs under, others must be able to run it.
    await handle.chmod(mode)
    if (owner !== undefined) await handle.chown(owner.uid, owner.gid)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes a folder and those above it, all of them below `root`. */
export const makeFolders = async (root: string, folder: string, owner?: Owner): Promise<ReadonlyArray<string>> => {
  const made: Array<string> = []
  const parts = Path.relative(root, folder).split(Path.sep)
  for (const [index] of parts.entries()) {
    const each = Path.join(root, ...parts.slice(0, index + 1))
    try {
      await Fs.mkdir(each, { mode: 0o755 })
    } catch (cause) {
      if (codeOf(cause) === "EEXIST") continue
      throw cause
    }
    await Fs.chmod(each, 0o755)
    if (owner !== undefined) await Fs.chown(each, owner.uid, owner.gid)
    made.push(each)
  }
  return made
}
