/** The files of one version out of a release's archive, on disk. */
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import { InstallError } from "../InstallError.ts"
import * as ReleaseFile from "../ReleaseFile.ts"
import { reached } from "../Steps.ts"
import * as Tar from "../Tar.ts"
import * as Disk from "./disk.ts"

/** What an archive has to be. */
export interface Expected {
  readonly program: ReleaseFile.ProgramName
  readonly version: string
  readonly os: string
  readonly arch: string
}

const damaged = (what: string) =>
  new InstallError({ kind: "damaged", message: `the archive ${what}; nothing was installed` })

/** What a version cannot do without. */
const needed = (program: string): ReadonlyArray<string> => [
  ReleaseFile.FILE_NAME,
  "package.json",
  `bin/${program}`,
  "bin/launch.mjs",
  `dist/programs/${program}.cjs`
]

const checkReleaseFile = (text: string, expected: Expected): Effect.Effect<ReleaseFile.ReleaseFile, InstallError> =>
  Effect.gen(function* () {
    const file = yield* Effect.mapError(ReleaseFile.decode(text), () =>
      damaged(`has no usable ${ReleaseFile.FILE_NAME}`)
    )
    const is = `${file.program} ${file.version} ${file.os}/${file.arch}`
    const wanted = `${expected.program} ${expected.version} ${expected.os}/${expected.arch}`
    if (is !== wanted) {
      const message = `the archive is of ${is}, not of ${wanted}; nothing was installed`
      return yield* new InstallError({ kind: "mismatch", message })
    }
    return file
  })

/** The files of the version, by their path below its folder. */
export const entriesOf = (
  archive: Uint8Array,
  expected: Expected
): Effect.Effect<ReadonlyArray<Tar.Entry>, InstallError> =>
  Effect.gen(function* () {
    const all = yield* Effect.flatMap(
      Effect.promise(() => Tar.unpack(archive)),
      Effect.mapError(damaged)
    )
    const prefix = `${expected.program}/versions/${expected.version}/`
    const entries = all
      .filter(({ path }) => path.startsWith(prefix))
      .map((entry) => ({ ...entry, path: entry.path.slice(prefix.length) }))
    const missing = needed(expected.program).find((path) => !entries.some((entry) => entry.path === path))
    if (missing !== undefined) return yield* damaged(`lacks ${prefix}${missing}`)
    const about = entries.find(({ path }) => path === ReleaseFile.FILE_NAME)
    yield* checkReleaseFile(Buffer.from(about?.bytes ?? []).toString("utf8"), expected)
    return entries
  })

/** Writes the files below a folder that is there, to the disk. */
export const write = (
  folder: string,
  entries: ReadonlyArray<Tar.Entry>,
  owner: Disk.Owner | undefined
): Effect.Effect<void, InstallError> =>
  Effect.gen(function* () {
    const folders = new Set([folder])
    for (const [index, { bytes, executable, path }] of entries.entries()) {
      const file = Path.join(folder, ...path.split("/"))
      yield* Disk.attempt(file, async () => {
        const above = Path.dirname(file)
        if (above !== folder) for (const made of await Disk.makeFolders(folder, above, owner)) folders.add(made)
        await Disk.write(file, bytes, executable ? 0o755 : 0o644, owner)
      })
      if (index === 0) yield* reached("unpacking")
    }
    for (const each of folders) yield* Disk.attempt(each, () => Disk.syncFolder(each))
  })
