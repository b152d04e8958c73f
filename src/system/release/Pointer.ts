/**
 * Which version of an installation is in force: `current.json` in its folder, replaced as a whole. The launcher of an
 * installation (bin/select.mjs) reads it too, and puts the previous version in force again when a new one came to nothing.
 *
 * ```
 * <home>/bin/telad                     the launcher, which stays
 * <home>/current.json                  which version is in force
 * <home>/versions/v1.2.0-3f9c2a/       a version: bin, dist, package.json, release.json
 * ```
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { FileName } from "../../protocol/Channel.ts"
import { InstallError } from "./InstallError.ts"
import * as Disk from "./internal/disk.ts"
import { reached } from "./Steps.ts"

/** A daemon's version that nobody knows yet to do what it is there for. */
const Trial = Schema.Struct({
  /** How often it was started. */
  starts: Schema.Int,
  /** The process that was started last. */
  pid: Schema.optionalWith(Schema.Int, { exact: true })
})

/** A version that was in force and had to go. */
const Failed = Schema.Struct({ folder: FileName, reason: Schema.String })

export const Pointer = Schema.Struct({
  /** The folder in `versions` that is in force. */
  folder: FileName,
  /** The one that was proved last before it. */
  previous: Schema.optionalWith(FileName, { exact: true }),
  trial: Schema.optionalWith(Trial, { exact: true }),
  failed: Schema.optionalWith(Failed, { exact: true })
})
export type Pointer = typeof Pointer.Type

export const FILE_NAME = "current.json"

/** Where a version is. */
export const folderOf = (home: string, folder: string): string => Path.join(home, "versions", folder)

/** The folder of what there is to go back to: what is itself on trial is nothing. */
export const proved = ({ folder, previous, trial }: Pointer): string | undefined =>
  trial === undefined ? folder : previous

const decode = Schema.decodeUnknown(Schema.parseJson(Pointer))

/** What is in force. */
export const read = (home: string): Effect.Effect<Pointer, InstallError> => {
  const file = Path.join(home, FILE_NAME)
  return Disk.attempt(file, () => Disk.readText(file)).pipe(
    Effect.flatMap((text) =>
      Effect.mapError(
        decode(text),
        () => new InstallError({ kind: "damaged", message: `${file}: this is no such file; install the program anew` })
      )
    )
  )
}

/** Puts another version in force. */
export const write = (home: string, pointer: Pointer, owner?: Disk.Owner): Effect.Effect<void, InstallError> => {
  const file = Path.join(home, FILE_NAME)
  const temporary = `${file}.${process.pid}.${Crypto.randomBytes(4).toString("hex")}`
  return Disk.attempt(file, () => Disk.write(temporary, `${JSON.stringify(pointer)}\n`, 0o644, owner)).pipe(
    Effect.zipRight(reached("pointing")),
    Effect.zipRight(
      Disk.attempt(file, async () => {
        await Fs.rename(temporary, file)
        await Disk.syncFolder(home)
      })
    ),
    Effect.onError(() => Effect.promise(() => Fs.rm(temporary, { force: true }).catch(() => {})))
  )
}
