/**
 * A folder with releases, as the maker leaves it: read and checked before anything of it is sent to a hub. The signatures
 * are the hub's to check, which knows the key that its releases are signed with.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import * as Ed25519 from "../../crypto/Ed25519.ts"
import * as Channel from "../../protocol/Channel.ts"
import { MANIFEST_BYTES } from "../../protocol/Limits.ts"
import * as Checks from "./internal/releaseChecks.ts"
import * as Disk from "./internal/disk.ts"
import * as Shelf from "./internal/shelf.ts"
import * as Manifest from "./Manifest.ts"

/** There is no release that can be sent. The message names the file, and says what to do. */
export class NoRelease extends Data.TaggedError("NoRelease")<{ readonly message: string }> {}

/** A file of a release. */
export interface ReleasedFile extends Manifest.Binary {
  readonly name: string
  readonly path: string
}

/** A release that is whole. */
export interface Release {
  readonly channel: string
  readonly version: string
  /** Whether it is the newest of the folder. */
  readonly isNewest: boolean
  /** Empty when they are elsewhere. */
  readonly archives: ReadonlyArray<ReleasedFile>
  /** Where the archives are when they do not go along. */
  readonly elsewhere: string | undefined
  /** Manifests and their signatures, in the order in which they are sent. */
  readonly manifests: ReadonlyArray<{ readonly name: string; readonly bytes: Uint8Array }>
}

const MAKE = "make the release again with: npm run release"

const fail = (message: string) => new NoRelease({ message })

const problems = new Map([
  ["ENOENT", "is missing"],
  ["ENOTDIR", "is missing"],
  ["EISDIR", "is a folder"],
  ["EACCES", "cannot be read (permission denied)"]
])

const unreadable = (file: string, cause: unknown) => {
  const code = Disk.codeOf(cause)
  return fail(`${file} ${problems.get(code) ?? `cannot be read (${code})`}; ${MAKE}`)
}

const attempt = <A>(file: string, run: () => Promise<A>): Effect.Effect<A, NoRelease> =>
  Effect.tryPromise({ try: run, catch: (cause) => unreadable(file, cause) })

/** The names of the channels that a folder has releases of. */
export const channelsIn = (folder: string): Effect.Effect<ReadonlyArray<string>, NoRelease> =>
  Effect.gen(function* () {
    const names = yield* Effect.tryPromise({
      try: () => Fs.promises.readdir(folder),
      catch: (cause) => {
        const code = Disk.codeOf(cause)
        const problem = code === "ENOTDIR" ? "is no folder" : (problems.get(code) ?? `cannot be read (${code})`)
        return fail(`${folder} ${problem}`)
      }
    })
    const channels = names.flatMap((name) => {
      const channel = name.replace(/\.json$/, "")
      const isHead = name !== channel && Channel.isChannel(channel)
      // Other programs have files of such names too.
      return isHead && names.some((each) => each === `${name}.sig` || each.startsWith(`${channel}-v`)) ? [channel] : []
    })
    if (channels.length > 0) return channels
    return yield* fail(`${folder} has no release; name the folder that npm run release has written`)
  })

/** A manifest of a folder, and the bytes of both of its files. */
interface Found {
  readonly manifest: Manifest.Manifest
  readonly files: Release["manifests"]
}

const read = (folder: string, name: string): Effect.Effect<Found, NoRelease> =>
  Effect.gen(function* () {
    const file = Path.join(folder, name)
    const signatureName = Channel.signatureFile(name)
    const signatureFile = Path.join(folder, signatureName)
    const whole = (path: string, most: number) =>
      Effect.gen(function* () {
        const { size } = yield* attempt(path, () => Fs.promises.stat(path))
        if (size > most)
          return yield* fail(`${path} has more than ${most} bytes, and cannot be what it should; ${MAKE}`)
        return yield* attempt(path, () => Fs.promises.readFile(path))
      })
    const bytes = yield* whole(file, MANIFEST_BYTES)
    const signature = yield* whole(signatureFile, Ed25519.SIGNATURE_BYTES)
    if (signature.length !== Ed25519.SIGNATURE_BYTES) return yield* fail(`${signatureFile} is no signature; ${MAKE}`)
    const manifest = yield* Either.mapLeft(Manifest.read(bytes), (why) => fail(`${file} ${why}; ${MAKE}`))
    const files = [
      { name, bytes },
      { name: signatureName, bytes: signature }
    ]
    return { manifest, files }
  })

const checkArchive = ({ name, path, sha256, size }: ReleasedFile): Effect.Effect<void, NoRelease> =>
  Effect.gen(function* () {
    const stat = yield* attempt(path, () => Fs.promises.stat(path))
    if (stat.size !== size) {
      return yield* fail(`${path} has ${stat.size} bytes, and ${size} by the signed manifest; ${MAKE}`)
    }
    const there = yield* Shelf.digestOf(path)
    if (there === undefined) return yield* fail(`${path} cannot be read; ${MAKE}`)
    if (there.sha256 !== sha256) {
      return yield* fail(`${path} is not the ${name} of the signed manifest (another SHA-256); ${MAKE}`)
    }
  })

/** Reads the newest release of a channel, or that of a version. Its archives are read once, and not kept. */
export const open = (
  folder: string,
  { channel, version: asked }: { readonly channel: string; readonly version: string | undefined }
): Effect.Effect<Release, NoRelease> =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const headName = Channel.headFile(channel)
    const head = yield* read(folder, headName)
    const tag = asked ?? head.manifest.version
    const isNewest = tag === head.manifest.version
    const versionName = Channel.versionFile(channel, tag)
    const version = yield* read(folder, versionName)
    const { manifest } = version
    const check = (name: string, found: Found, kind: Manifest.Manifest["kind"]) => {
      const problem = Checks.problemOf(found.manifest, { kind, channel, tag }, now)
      return problem === undefined ? Effect.void : fail(`${Path.join(folder, name)}: ${problem}`)
    }
    yield* check(versionName, version, "version")
    if (isNewest) {
      yield* check(headName, head, "head")
      if (!Checks.haveSameFiles(head.manifest, manifest)) {
        return yield* fail(`${headName} and ${versionName} in ${folder} name different files; ${MAKE}`)
      }
    }
    const place = Checks.placeOf(manifest)
    if (place._tag === "Nowhere") return yield* fail(`${Path.join(folder, versionName)}: ${place.message}`)
    // A hub wants the files when their address is its own, which it may know by another name than whoever asks it.
    const elsewhere = place._tag === "Beside" || place.address.endsWith(`/files/${channel}`) ? undefined : place.address
    const archives = Object.entries(manifest.binaries).map(([name, { sha256, size }]) => ({
      name,
      path: Path.join(folder, "files", channel, name),
      sha256: sha256.toLowerCase(),
      size
    }))
    if (elsewhere === undefined) yield* Effect.forEach(archives, checkArchive, { discard: true })
    return {
      channel,
      version: tag,
      isNewest,
      archives: elsewhere === undefined ? archives : [],
      elsewhere,
      manifests: isNewest ? [...version.files, ...head.files] : version.files
    }
  })

/** The bytes of an archive as they are read; fails when it is not as long as it was any more. */
export const bytesOf = ({ path, size }: ReleasedFile): Stream.Stream<Uint8Array, NoRelease> =>
  Stream.suspend(() => {
    let given = 0
    const changed = fail(`${path} has changed while it was sent; ${MAKE}`)
    return Stream.fromAsyncIterable<Uint8Array, NoRelease>(Fs.createReadStream(path), (cause) =>
      unreadable(path, cause)
    ).pipe(
      Stream.tap((bytes) => {
        given += bytes.length
        return given > size ? changed : Effect.void
      }),
      Stream.concat(Stream.suspend(() => (given === size ? Stream.empty : Stream.fail(changed))))
    )
  })
