/**
 * A program as it is installed from a release, and its versions: another one is unpacked beside the one in force, proved
 * to run, and put in force by the rename of one small file. Whatever is interrupted, the one in force is whole.
 * {@link file://./Pointer.ts} has the layout.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { InstallError } from "./InstallError.ts"
import * as Disk from "./internal/disk.ts"
import { clean, remove } from "./internal/leftovers.ts"
import * as Lock from "./internal/lock.ts"
import { prove } from "./internal/prove.ts"
import * as Unpack from "./internal/unpack.ts"
import * as Pointer from "./Pointer.ts"
import * as ReleaseFile from "./ReleaseFile.ts"
import { reached } from "./Steps.ts"
import * as Version from "./Version.ts"

/** What is in force. */
export interface Installed {
  readonly release: ReleaseFile.ReleaseFile
  readonly pointer: Pointer.Pointer
}

/** How a version is put in force; as it is said, without any of these. */
export interface InstallOptions {
  /** Also in place of a newer one. */
  readonly allowDowngrade?: boolean
  /**
   * Without a trial, though it is a daemon's: who runs it cannot write here, so that its starts could not be counted, nor the
   * trial be ended.
   */
  readonly untried?: boolean
}

export class Installation extends Context.Tag("tela/system/release/Installation")<
  Installation,
  {
    /** Its folder, which whoever updates must be able to write. */
    readonly home: string
    readonly installed: Effect.Effect<Installed, InstallError>
    /**
     * Puts the version of an archive in force: a daemon's on trial. What fails leaves everything as it was. The archive
     * must be known to be the one that was signed. What is in force when its turn comes counts, which may be newer than what
     * was there when it was decided: then it fails; where the version itself is in force by then, nothing is done.
     */
    readonly install: (
      archive: Uint8Array,
      version: string,
      options?: InstallOptions
    ) => Effect.Effect<Installed, InstallError>
    /**
     * Notes that the version in force, which is on trial, is started by this process. False when it is not on trial, which
     * is found out without waiting for anybody.
     */
    readonly begin: (version: string) => Effect.Effect<boolean, InstallError>
    /** Ends the trial of a version: it is healthy. Removes what is needed no more. */
    readonly confirm: (version: string) => Effect.Effect<void, InstallError>
    /** Puts the version in force that was there before the trial. False when there is none, or no trial. */
    readonly rollBack: (version: string, reason: string) => Effect.Effect<boolean, InstallError>
  }
>() {}

const releaseIn = (home: string, folder: string): Effect.Effect<ReleaseFile.ReleaseFile, InstallError> => {
  const file = Path.join(Pointer.folderOf(home, folder), ReleaseFile.FILE_NAME)
  return Disk.attempt(file, () => Disk.readText(file)).pipe(
    Effect.flatMap(ReleaseFile.decode),
    Effect.mapError(
      () => new InstallError({ kind: "damaged", message: `${file} is damaged; install the program anew` })
    )
  )
}

const parsed = (version: string): Effect.Effect<Version.Version, InstallError> =>
  Effect.mapError(Version.parse(version), (message) => new InstallError({ kind: "mismatch", message }))

/** How a version stands to the one that is in force now: above 0 when it is newer. */
const orderOf = (version: string, { release }: Installed): Effect.Effect<number, InstallError> =>
  Effect.map(Effect.all([parsed(version), parsed(release.version)]), ([next, now]) => Version.compare(next, now))

/** Root leaves what it installs to the owner of the folder. */
const ownerOf = (home: string): Effect.Effect<Disk.Owner | undefined, InstallError> =>
  process.getuid?.() === 0
    ? Disk.attempt(home, () => Fs.stat(home)).pipe(Effect.map(({ gid, uid }) => ({ gid, uid })))
    : Effect.succeed(undefined)

/** The installation in a folder. */
export const make = (
  home: string,
  subject: { readonly program: ReleaseFile.ProgramName; readonly os: string; readonly arch: string }
): typeof Installation.Service => {
  const locked = <A, R>(use: Effect.Effect<A, InstallError, R>) => Lock.changing(home, use)

  const installed = Effect.gen(function* () {
    const pointer = yield* Pointer.read(home)
    return { pointer, release: yield* releaseIn(home, pointer.folder) }
  })

  /** The pointer, when a version is in force and on trial. */
  const onTrial = (version: string) =>
    Effect.map(installed, ({ pointer, release }) =>
      pointer.trial !== undefined && release.version === version ? { ...pointer, trial: pointer.trial } : undefined
    )

  const install = (archive: Uint8Array, version: string, { allowDowngrade, untried }: InstallOptions) =>
    Effect.gen(function* () {
      yield* reached("locked")
      const expected = { ...subject, version }
      const now = yield* installed
      const { pointer } = now
      const order = yield* orderOf(version, now)
      if (order < 0 && allowDowngrade !== true) {
        const message = `${version} is older than ${now.release.version}, which was installed meanwhile; look again, and update to what is newer`
        return yield* new InstallError({ kind: "older", message })
      }
      const owner = yield* ownerOf(home)
      yield* clean(home, pointer)
      if (order === 0) return yield* Effect.as(reached("cleaned"), now)
      const entries = yield* Unpack.entriesOf(archive, expected)
      const name = Crypto.randomBytes(4).toString("hex")
      const incoming = Pointer.folderOf(home, `.incoming-${name}`)
      const folder = `${version}-${name}`
      yield* Effect.gen(function* () {
        yield* Disk.attempt(incoming, () => Disk.makeFolders(Path.dirname(incoming), incoming, owner))
        yield* Unpack.write(incoming, entries, owner)
        yield* reached("unpacked")
        yield* prove(incoming, expected)
        yield* reached("proved")
        yield* Disk.attempt(incoming, async () => {
          await Fs.rename(incoming, Pointer.folderOf(home, folder))
          await Disk.syncFolder(Path.dirname(incoming))
        })
      }).pipe(Effect.onError(() => remove(incoming)))
      yield* reached("placed")
      // What nobody could try is proved by nothing but that it was in force.
      const previous = untried === true ? pointer.folder : Pointer.proved(pointer)
      const next: Pointer.Pointer = {
        folder,
        ...(previous !== undefined && { previous }),
        ...(ReleaseFile.isDaemon(subject.program) && untried !== true && { trial: { starts: 0 } })
      }
      yield* Effect.uninterruptible(Pointer.write(home, next, owner))
      yield* reached("switched")
      yield* clean(home, next)
      yield* reached("cleaned")
      return yield* installed
    })

  return {
    home,
    installed,
    install: (archive, version, options = {}) => locked(install(archive, version, options)),
    begin: (version) =>
      Effect.gen(function* () {
        // Nearly every start: whoever holds the lock, or has left it, is nothing to it.
        if ((yield* onTrial(version)) === undefined) return false
        return yield* locked(
          Effect.gen(function* () {
            const pointer = yield* onTrial(version)
            if (pointer === undefined) return false
            const trial = { starts: pointer.trial.starts + 1, pid: process.pid }
            yield* Pointer.write(home, { ...pointer, trial }, yield* ownerOf(home))
            return true
          })
        )
      }),
    confirm: (version) =>
      locked(
        Effect.gen(function* () {
          const pointer = yield* onTrial(version)
          if (pointer === undefined) return
          const { trial: _over, ...next } = pointer
          yield* Pointer.write(home, next, yield* ownerOf(home))
          yield* clean(home, next)
        })
      ),
    rollBack: (version, reason) =>
      locked(
        Effect.gen(function* () {
          const pointer = yield* onTrial(version)
          if (pointer?.previous === undefined) return false
          const { folder, previous } = pointer
          yield* releaseIn(home, previous)
          yield* Pointer.write(home, { folder: previous, failed: { folder, reason } }, yield* ownerOf(home))
          return true
        })
      )
  }
}

/**
 * The installation that a program runs from, by the path under which it was started; undefined when that is none, but a
 * package or a checkout.
 */
export const locate = (script: string | undefined): Effect.Effect<string | undefined> =>
  Effect.promise(async () => {
    try {
      const home = Path.dirname(Path.dirname(await Fs.realpath(script ?? "")))
      await Fs.access(Path.join(home, Pointer.FILE_NAME))
      return home
    } catch {
      return undefined
    }
  })

/** The installation in a folder, for a program of this machine. */
export const layer = (...args: Parameters<typeof make>): Layer.Layer<Installation> =>
  Layer.succeed(Installation, make(...args))
