/**
 * Makes a release from what was built: an archive for each program and machine, their digests, and the manifests of a
 * channel, signed. The folder that comes out is a channel as it is served: any web server will do, and a hub that hosts
 * channels gets it by `tela admin hub channel publish`. The same build gives the same archives.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Ed25519 from "../../crypto/Ed25519.ts"
import * as Channel from "../../protocol/Channel.ts"
import { formatInstant } from "../../protocol/Duration.ts"
import * as Disk from "./internal/disk.ts"
import * as Layout from "./internal/layout.ts"
import type * as Manifest from "./Manifest.ts"
import type { ProgramName } from "./ReleaseFile.ts"
import * as Signed from "./Signed.ts"
import * as Tar from "./Tar.ts"
import * as Version from "./Version.ts"

/** A release cannot be made. The message says what to do. */
export class MakerError extends Data.TaggedError("MakerError")<{ readonly message: string }> {}

/** A machine by Go's names. */
export interface Target {
  readonly os: string
  readonly arch: string
}

export interface MakerOptions {
  /** The checkout, or a copy of what was built there: bin, dist/programs, package.json, LICENSE. */
  readonly root: string
  /** The folder of the channel, made unless it is there. Earlier releases in it stay. */
  readonly out: string
  readonly key: Ed25519.PrivateKey
  /** The key that updates of this release must be signed with, when it is to be another one from now on. */
  readonly nextKey?: Ed25519.PublicKey | undefined
  readonly channel: string
  readonly programs: ReadonlyArray<ProgramName>
  readonly targets: ReadonlyArray<Target>
  /** Where the archives will be; relative to the manifest unless given. */
  readonly downloadBase?: string | undefined
  /** Milliseconds since the epoch. */
  readonly publishedAt: number
  /** When the manifest of the channel's newest release counts no more, and when that of this version. */
  readonly expires: { readonly head: number; readonly version: number }
}

/** What was made. */
export interface Made {
  readonly version: string
  readonly channel: string
  /** Names of files, below the folder. */
  readonly archives: ReadonlyArray<{ readonly name: string; readonly binary: Manifest.Binary }>
}

const failed = (message: string) => new MakerError({ message })

const attempt = <A>(file: string, run: () => Promise<A>): Effect.Effect<A, MakerError> =>
  Effect.tryPromise({ try: run, catch: (cause) => failed(`${file}: ${Disk.codeOf(cause)}`) })

/** Replaces a file: what was there before is the same file of an earlier release. */
const put = (file: string, bytes: Uint8Array | string) =>
  attempt(file, async () => {
    await Fs.mkdir(Path.dirname(file), { recursive: true })
    const temporary = `${file}.${process.pid}.tmp`
    await Fs.rm(temporary, { force: true })
    await Disk.write(temporary, bytes, 0o644)
    await Fs.rename(temporary, file)
  })

const Package = Schema.Struct({ version: Schema.String, license: Schema.String, dependencies: Layout.Dependencies })

/** Writes an archive, unless it is there: one that somebody may have by its digest is never made anew under its name. */
const putOnce = (file: string, bytes: Uint8Array) =>
  Effect.gen(function* () {
    const before = yield* Effect.option(attempt(file, () => Fs.readFile(file)))
    if (Option.isNone(before)) return yield* put(file, bytes)
    if (before.value.equals(bytes)) return
    return yield* failed(`${file} was made before, of another build; raise the version, or remove it if nobody has it`)
  })

/** What was built, read once. */
const built = (root: string, programs: ReadonlyArray<ProgramName>) =>
  Effect.gen(function* () {
    const read = (name: string) =>
      Effect.catchAll(
        attempt(name, () => Fs.readFile(Path.join(root, name))),
        () => failed(`${Path.join(root, name)} is missing; run: npm run build`)
      )
    const about = yield* Effect.flatMap(read("package.json"), (text) =>
      Effect.mapError(Schema.decodeUnknown(Schema.parseJson(Package))(text.toString()), () =>
        failed(`${Path.join(root, "package.json")} is not as it should be`)
      )
    )
    const version = yield* Effect.mapError(Version.parse(about.version), failed)
    const bundles = new Map<ProgramName, Uint8Array>()
    for (const program of programs) {
      const bundle = yield* read(`dist/programs/${program}.cjs`)
      // It says its version where the launcher does not.
      if (!bundle.includes(`"${version.text}"`)) {
        return yield* failed(`dist/programs/${program}.cjs is not of ${version.text}; run: npm run build`)
      }
      bundles.set(program, bundle)
    }
    return {
      about,
      version,
      bundles,
      launch: yield* read("bin/launch.mjs"),
      select: yield* read("bin/select.mjs"),
      license: yield* read("LICENSE")
    }
  })

const digestOf = (bytes: Uint8Array): Manifest.Binary => ({
  sha256: Crypto.createHash("sha256").update(bytes).digest("hex"),
  size: bytes.length
})

/** Writes a manifest and its signature. */
const putSigned = (folder: string, name: string, { bytes, signature }: Signed.Signed) =>
  Effect.zipRight(put(Path.join(folder, name), bytes), put(Path.join(folder, Channel.signatureFile(name)), signature))

/** Makes a release. */
export const make = (options: MakerOptions): Effect.Effect<Made, MakerError> =>
  Effect.gen(function* () {
    const { channel, expires, key, nextKey = key.publicKey, out, programs, publishedAt, root, targets } = options
    const { about, bundles, version, ...shared } = yield* built(root, programs)
    const archives: Array<Made["archives"][number]> = []
    for (const [program, bundle] of bundles) {
      for (const { arch, os } of targets) {
        const entries = Layout.entries({
          ...shared,
          release: { program, version: version.text, os, arch, channel, key: nextKey.text },
          bundle,
          license: shared.license,
          dependencies: about.dependencies,
          spdx: about.license
        })
        const archive = Tar.pack(entries, Layout.SECONDS)
        const name = Channel.archiveFile(program, version.text, os, arch)
        yield* putOnce(Path.join(out, "files", channel, name), archive)
        archives.push({ name, binary: digestOf(archive) })
      }
    }
    const manifest: Omit<Manifest.Manifest, "kind" | "expires"> = {
      channel,
      version: version.text,
      tag: version.text,
      publishedAt: formatInstant(publishedAt),
      downloadBase: options.downloadBase ?? `files/${channel}/`,
      binaries: Object.fromEntries(archives.map(({ binary, name }) => [name, binary]))
    }
    const sign = (kind: Manifest.Manifest["kind"]) =>
      Signed.sign({ ...manifest, kind, expires: formatInstant(expires[kind]) }, key)
    const sums = archives
      .map(({ binary, name }) => `${binary.sha256}  ${name}\n`)
      .toSorted()
      .join("")
    const sumsFile = Path.join(out, "files", channel, `SHA256SUMS-${version.text}`)
    yield* put(sumsFile, sums)
    yield* put(`${sumsFile}.sig`, Ed25519.sign(key, Buffer.from(sums)))
    yield* putSigned(out, Channel.versionFile(channel, version.text), sign("version"))
    // Last, since it is what makes everybody look for the rest.
    yield* putSigned(out, Channel.headFile(channel), sign("head"))
    return { version: version.text, channel, archives }
  })

/** Signs the manifest of a channel's newest release anew, before it expires. Nothing else in it changes. */
export const renew = (options: {
  readonly out: string
  readonly channel: string
  readonly key: Ed25519.PrivateKey
  readonly expires: number
}): Effect.Effect<Manifest.Manifest, MakerError> =>
  Effect.gen(function* () {
    const { channel, expires, key, out } = options
    const name = Channel.headFile(channel)
    const read = (file: string) => attempt(file, () => Fs.readFile(Path.join(out, file)))
    const signed = { bytes: yield* read(name), signature: yield* read(Channel.signatureFile(name)) }
    const { manifest } = yield* Either.mapLeft(Signed.verify(signed, key.publicKey), ({ message }) =>
      failed(`${Path.join(out, name)} ${message}`)
    )
    const renewed = { ...manifest, expires: formatInstant(expires) }
    yield* putSigned(out, name, Signed.sign(renewed, key))
    return renewed
  })
