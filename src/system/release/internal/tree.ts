/** Folders as they are copied: read as a whole, and written to the disk elsewhere, perhaps with other rights. */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import { COPY_BYTES, COPY_FILES } from "../../../protocol/Limits.ts"
import { InstallError } from "../InstallError.ts"
import { reached } from "../Steps.ts"
import * as Disk from "./disk.ts"

/** A file or a link of a folder, by its path below it. */
export type Piece =
  | { readonly _tag: "File"; readonly path: string; readonly bytes: Uint8Array; readonly executable: boolean }
  | { readonly _tag: "Link"; readonly path: string; readonly to: string }

const damaged = (message: string) => new InstallError({ kind: "damaged", message })

const reading = <A>(file: string, run: () => Promise<A>): Effect.Effect<A, InstallError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => damaged(`${file}: it cannot be read (${Disk.codeOf(cause)}), so the program was not copied`)
  })

/**
 * All files below a folder. A link stays one when it leads to something in the folder; of what another one leads to there is
 * a copy, since nothing outside comes along.
 */
export const read = (folder: string): Effect.Effect<ReadonlyArray<Piece>, InstallError> =>
  Effect.gen(function* () {
    const root = yield* reading(folder, () => Fs.realpath(folder))
    const pieces: Array<Piece> = []
    let room = COPY_BYTES
    const isWithin = (path: string) => path === root || path.startsWith(`${root}${Path.sep}`)

    const take = (size: number) => {
      room -= size
      return room >= 0 && pieces.length < COPY_FILES
        ? Effect.void
        : damaged(`${folder} holds more than ${COPY_FILES} files or ${COPY_BYTES} bytes; it was not copied`)
    }

    const file = (real: string, path: string) =>
      Effect.gen(function* () {
        const { mode, size } = yield* reading(real, () => Fs.stat(real))
        yield* take(size)
        const bytes = yield* reading(real, () => Fs.readFile(real))
        pieces.push({ _tag: "File", path, bytes, executable: (mode & 0o111) !== 0 })
      })

    const link = (at: string, path: string, above: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const to = Path.resolve(Path.dirname(at), yield* reading(at, () => Fs.readlink(at)))
        // Windows lets few people make links.
        if (isWithin(to) && process.platform !== "win32") {
          yield* take(0)
          pieces.push({ _tag: "Link", path, to: Path.relative(Path.dirname(path), Path.relative(root, to)) || "." })
          return
        }
        const real = yield* Effect.promise(() => Fs.realpath(at).catch(() => undefined))
        if (real === undefined) return
        const stat = yield* reading(real, () => Fs.stat(real))
        if (stat.isFile()) yield* file(real, path)
        if (stat.isDirectory()) yield* inside(real, path, above)
      })

    const inside = (real: string, path: string, above: ReadonlyArray<string>): Effect.Effect<void, InstallError> =>
      Effect.gen(function* () {
        // A folder that is in itself, by a link.
        if (above.includes(real)) return
        const entries = yield* reading(real, () => Fs.readdir(real, { withFileTypes: true }))
        for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
          const next = [Path.join(real, entry.name), Path.join(path, entry.name)] as const
          if (entry.isFile()) yield* file(...next)
          else if (entry.isDirectory()) yield* inside(...next, [...above, real])
          else if (entry.isSymbolicLink()) yield* link(...next, [...above, real])
        }
      })

    yield* inside(root, "", [])
    return pieces
  })

/** Names what is in a folder: two that hold the same have the same. */
export const digestOf = (pieces: ReadonlyArray<Piece>): string => {
  const hash = Crypto.createHash("sha256")
  for (const piece of pieces) {
    const held =
      piece._tag === "Link"
        ? ["link", piece.to]
        : [piece.executable ? "program" : "file", Crypto.createHash("sha256").update(piece.bytes).digest("hex")]
    hash.update(JSON.stringify([piece.path, ...held]))
  }
  return hash.digest("hex").slice(0, 32)
}

/** Makes a folder that holds them, to the disk. */
export const write = (folder: string, pieces: ReadonlyArray<Piece>): Effect.Effect<void, InstallError> =>
  Effect.gen(function* () {
    yield* Disk.attempt(folder, () => Disk.makeFolders(Path.dirname(folder), folder))
    const folders = new Set([folder])
    for (const [index, piece] of pieces.entries()) {
      const path = Path.join(folder, piece.path)
      yield* Disk.attempt(path, async () => {
        const above = Path.dirname(path)
        if (above !== folder) for (const made of await Disk.makeFolders(folder, above)) folders.add(made)
        if (piece._tag === "Link") await Fs.symlink(piece.to, path)
        else await Disk.write(path, piece.bytes, piece.executable ? 0o755 : 0o644)
      })
      if (index === 0) yield* reached("unpacking")
    }
    for (const each of folders) yield* Disk.attempt(each, () => Disk.syncFolder(each))
  })
