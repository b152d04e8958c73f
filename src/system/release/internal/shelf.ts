/**
 * The folder of hosted channels on disk:
 *
 * ```
 * <data>/files/<channel>/<name>            what was uploaded; archives never change
 * <data>/published/<channel>/<file>.signed a manifest and its signature in one file, so that both change at once
 * <data>/incoming/<random>                 uploads that are under way
 * ```
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { HostingError } from "../HostingError.ts"
import type { Binary } from "../Manifest.ts"
import * as Disk from "./disk.ts"

export const fileOf = (data: string, channel: string, name: string): string => Path.join(data, "files", channel, name)

export const publishedFolder = (data: string, channel: string): string => Path.join(data, "published", channel)

const SIGNED = ".signed"

export const publishedOf = (data: string, channel: string, manifest: string): string =>
  Path.join(publishedFolder(data, channel), `${manifest}${SIGNED}`)

/** The names of the manifests in a folder of published ones. */
export const manifestsIn = (names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.filter((name) => name.endsWith(SIGNED)).map((name) => name.slice(0, -SIGNED.length))

/** Runs a promise of node:fs. The folder is not named: whoever uploads need not know it. */
export const attempt = <A>(what: string, run: () => Promise<A>): Effect.Effect<A, HostingError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => {
      const code = Disk.codeOf(cause)
      return code === "ENOSPC" || code === "EDQUOT"
        ? new HostingError({
            kind: "full",
            message: `no space is left for ${what}; make room in the folder of channels`
          })
        : new HostingError({
            kind: "unwritable",
            message: `${what} cannot be stored (${code}); the hub must be able to write its folder of channels`
          })
    }
  })

/** Makes the folder of a file, and those above it, so that others may read what the hub serves anyway. */
export const makeFolderOf = async (file: string): Promise<void> => {
  await Fs.mkdir(Path.dirname(file), { recursive: true, mode: 0o755 })
}

/** Replaces a small file as a whole. */
export const replace = async (file: string, bytes: Uint8Array): Promise<void> => {
  await makeFolderOf(file)
  const temporary = `${file}.${Crypto.randomBytes(4).toString("hex")}`
  try {
    await Disk.write(temporary, bytes, 0o644)
    await Fs.rename(temporary, file)
  } catch (cause) {
    await Fs.rm(temporary, { force: true })
    throw cause
  }
  await Disk.syncFolder(Path.dirname(file))
}

/** Something that was taken in whole, in a place where nobody looks. */
export interface Incoming extends Binary {
  readonly path: string
}

/** Writes what comes to a file that is removed with the scope, unless it was moved; at most `most` bytes of it. */
export const takeIn = <E>(data: string, what: string, bytes: Stream.Stream<Uint8Array, E>, most: number) =>
  Effect.gen(function* () {
    const path = Path.join(data, "incoming", Crypto.randomBytes(8).toString("hex"))
    const handle = yield* Effect.acquireRelease(
      attempt(what, async () => {
        await makeFolderOf(path)
        return Fs.open(path, "wx", 0o644)
      }),
      (opened) =>
        Effect.promise(async () => {
          await opened.close().catch(() => {})
          await Fs.rm(path, { force: true }).catch(() => {})
        })
    )
    const hash = Crypto.createHash("sha256")
    let size = 0
    yield* Stream.runForEach(bytes, (chunk) =>
      Effect.suspend(() => {
        size += chunk.length
        if (size > most) return new HostingError({ kind: "large", message: `${what} is larger than ${most} bytes` })
        hash.update(chunk)
        return attempt(what, () => handle.writeFile(chunk))
      })
    )
    yield* attempt(what, () => handle.sync())
    return { path, size, sha256: hash.digest("hex") }
  })

/** Size and digest of a file; undefined when there is none. */
export const digestOf = (file: string): Effect.Effect<Binary | undefined> =>
  Effect.promise(async () => {
    const handle = await Fs.open(file, "r").catch(() => undefined)
    if (handle === undefined) return undefined
    const hash = Crypto.createHash("sha256")
    let size = 0
    try {
      for await (const chunk of handle.createReadStream({ autoClose: false })) {
        hash.update(chunk)
        size += chunk.length
      }
      return { size, sha256: hash.digest("hex") }
    } catch {
      return undefined
    } finally {
      await handle.close()
    }
  })
