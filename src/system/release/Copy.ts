/**
 * A copy of an installation, for a service that is to update itself in a folder of its own: the version in force, the
 * packages beside it and the launcher; no trial, no earlier version, nothing that was left behind. The copy is an installation
 * ({@link file://./Pointer.ts} has the layout), but that its `node_modules` is a link, so that packages too are replaced at
 * once:
 *
 * ```
 * <copy>/node_modules -> packages-<digest>
 * ```
 *
 * Whoever starts what is in force in the copy, at any moment, finds a version that works.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Installation from "./Installation.ts"
import { InstallError } from "./InstallError.ts"
import * as Disk from "./internal/disk.ts"
import * as Leftovers from "./internal/leftovers.ts"
import * as Lock from "./internal/lock.ts"
import * as Packages from "./internal/packages.ts"
import * as Tree from "./internal/tree.ts"
import * as Pointer from "./Pointer.ts"
import type { ReleaseFile } from "./ReleaseFile.ts"
import { reached } from "./Steps.ts"
import * as Version from "./Version.ts"

type Subject = Parameters<typeof Installation.make>[1]

/** What a copy is, compared with what it is to be a copy of. */
export type State = "missing" | "damaged" | "itself" | "same" | "older" | "newer"

/** What making a copy anew would come to. */
export interface Copying {
  readonly state: State
  /** The version in force in the original. */
  readonly version: string
  /** That in the copy. */
  readonly there: string | undefined
  /** Of the packages: there are none, the copy has them, or it is to get them. */
  readonly packages: "none" | "same" | "other"
  /** Reads the original, and succeeds with what makes the copy in a folder; undefined when nothing is to be done. */
  readonly read: Effect.Effect<(copy: string) => Effect.Effect<void, InstallError>, InstallError> | undefined
}

const realpath = (path: string) => Effect.promise(() => Fs.realpath(path).catch(() => undefined))

const versionOf = ({ version }: ReleaseFile) =>
  Effect.mapError(
    Version.parse(version),
    (problem) => new InstallError({ kind: "damaged", message: `release.json: ${problem}` })
  )

/** What is in force in a copy; none when it is missing or damaged. */
const inForce = (copy: string, subject: Subject) =>
  Effect.gen(function* () {
    const installed = yield* Installation.make(copy, subject).installed
    const { program } = installed.release
    if (program !== subject.program) return yield* Effect.fail(undefined)
    yield* Disk.attempt(copy, () => Fs.access(Path.join(copy, "bin", program)))
    return { ...installed, version: yield* versionOf(installed.release) }
  }).pipe(Effect.option)

/** Puts a small file into a folder, as a whole, unless it is there. */
const put = (folder: string, { bytes, executable, path }: Extract<Tree.Piece, { readonly _tag: "File" }>) => {
  const file = Path.join(folder, path)
  return Disk.attempt(file, async () => {
    const before = await Fs.readFile(file).catch(() => undefined)
    if (before?.equals(bytes)) return
    await Disk.makeFolders(folder, Path.dirname(file))
    const temporary = Path.join(Path.dirname(file), Leftovers.incomingName())
    await Disk.write(temporary, bytes, executable ? 0o755 : 0o644)
    await Fs.rename(temporary, file)
    await Disk.syncFolder(Path.dirname(file))
  })
}

/** What stays when versions come and go. */
const launcher = (home: string) =>
  Effect.gen(function* () {
    const about = yield* Disk.attempt(home, () => Fs.readFile(Path.join(home, "package.json")))
    const bin = yield* Tree.read(Path.join(home, "bin"))
    const pieces = bin.map((piece) => ({ ...piece, path: Path.join("bin", piece.path) }))
    return [...pieces, { _tag: "File", path: "package.json", bytes: about, executable: false } as const]
  })

/** Places a version beside those that are there; succeeds with the name of its folder. */
const place = (copy: string, version: string, pieces: ReadonlyArray<Tree.Piece>) =>
  Effect.gen(function* () {
    const folder = `${version}-${Crypto.randomBytes(4).toString("hex")}`
    const incoming = Pointer.folderOf(copy, Leftovers.incomingName())
    yield* Effect.gen(function* () {
      yield* Tree.write(incoming, pieces)
      yield* reached("unpacked")
      yield* Disk.attempt(incoming, async () => {
        await Fs.rename(incoming, Pointer.folderOf(copy, folder))
        await Disk.syncFolder(Path.dirname(incoming))
      })
    }).pipe(Effect.onError(() => Leftovers.remove(incoming)))
    yield* reached("placed")
    return folder
  })

/** Looks at an installation and at its copy, and says what there is to do. Nothing is changed. */
export const look = (home: string, copy: string, subject: Subject): Effect.Effect<Copying, InstallError> =>
  Effect.gen(function* () {
    const { pointer, release } = yield* Installation.make(home, subject).installed
    const version = yield* versionOf(release)
    const there = yield* inForce(copy, subject)
    const about = { version: version.text, there: Option.getOrUndefined(there)?.version.text }
    if ((yield* realpath(home)) === (yield* realpath(copy))) {
      return { ...about, state: "itself", packages: "none", read: undefined }
    }
    const isThere = yield* Effect.promise(() =>
      Fs.access(Path.join(copy, Pointer.FILE_NAME)).then(
        () => true,
        () => false
      )
    )
    const order = Option.match(there, { onNone: () => 0, onSome: (found) => Version.compare(found.version, version) })
    if (order > 0) return { ...about, state: "newer", packages: "none", read: undefined }
    const packages = yield* Packages.look(home, copy)
    const state = Option.isNone(there) ? (isThere ? "damaged" : "missing") : order < 0 ? "older" : "same"

    const read = Effect.gen(function* () {
      const pieces = yield* Tree.read(Pointer.folderOf(home, pointer.folder))
      const stays = yield* launcher(home)
      const write = (into: string) =>
        Effect.gen(function* () {
          yield* reached("locked")
          // The service may have updated itself meanwhile.
          const found = yield* inForce(into, subject)
          // What a try that failed has left makes room for this one.
          yield* Leftovers.clean(into, Option.getOrUndefined(found)?.pointer)
          yield* Leftovers.tidy(into)
          const order = Option.match(found, { onNone: () => 1, onSome: (is) => Version.compare(version, is.version) })
          if (order < 0) return yield* reached("cleaned")
          const folder = order > 0 ? yield* place(into, version.text, pieces) : undefined
          const givenUp = folder === undefined ? Effect.void : Leftovers.discard(Path.join(into, "versions"), folder)
          const next = yield* Effect.gen(function* () {
            if (packages.state === "other") yield* Packages.put(into, packages)
            if (folder === undefined) return undefined
            for (const piece of stays) if (piece._tag === "File") yield* put(into, piece)
            const previous = Option.isSome(found) ? Pointer.proved(found.value.pointer) : undefined
            const made = { folder, ...(previous !== undefined && { previous }) }
            yield* Effect.uninterruptible(Pointer.write(into, made))
            return made
          }).pipe(Effect.onError(() => givenUp))
          if (next === undefined) return yield* reached("cleaned")
          yield* reached("switched")
          yield* Leftovers.clean(into, next)
          for (const each of [into, Path.join(into, "bin")]) yield* Leftovers.tidy(each)
          yield* reached("cleaned")
        })
      return (into: string) =>
        Effect.zipRight(
          Disk.attempt(into, () => Disk.makeFolders(Path.dirname(into), Path.join(into, "versions"))),
          Lock.changing(into, write(into))
        )
    })
    const isDone = state === "same" && packages.state !== "other"
    return { ...about, state, packages: packages.state, read: isDone ? undefined : read }
  })
