/**
 * Release channels that a hub serves from a folder of its own (spec: hub-api 1.18, 1.19). Files are uploaded one by one and
 * seen by nobody; publishing makes a release of them whose manifests are signed with the configured key, all of whose
 * archives are there as signed. What is served is what a published manifest names, and nothing else.
 */
import * as Fs from "node:fs/promises"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Stream from "effect/Stream"
import * as Ed25519 from "../../crypto/Ed25519.ts"
import * as Channel from "../../protocol/Channel.ts"
import { CHANNEL_FILE_BYTES, CHANNEL_RELEASES, CHANNEL_UPLOADS, MANIFEST_BYTES } from "../../protocol/Limits.ts"
import { quoted } from "../../protocol/Printable.ts"
import type { ChannelsConfig } from "../../store/HubSettings.ts"
import { conflict, HostingError, invalid, untrusted } from "./HostingError.ts"
import * as Disk from "./internal/disk.ts"
import * as PublishedFolder from "./internal/publishedFolder.ts"
import * as Checks from "./internal/releaseChecks.ts"
import * as Shelf from "./internal/shelf.ts"
import type * as Manifest from "./Manifest.ts"
import * as Signed from "./Signed.ts"
import * as Version from "./Version.ts"

/** A file that was taken. */
export interface Received {
  readonly size: number
  readonly path: string
}

/** A release that everybody can have now. */
export interface Published {
  readonly manifest: Manifest.Manifest
  /** Where that manifest is on disk. */
  readonly manifestPath: string
}

/** The channels of a folder. */
export interface Hosting {
  /** A manifest, or a signature, by what follows the base address; undefined when there is none. */
  readonly manifest: (name: string) => Effect.Effect<Uint8Array | undefined>
  /** An archive that a published release names. */
  readonly file: (channel: string, name: string) => Effect.Effect<Received | undefined>
  /**
   * Takes a file. An archive that is there already is taken again only if it is the same; manifests and signatures, which
   * count for nothing until they are published, are replaced.
   */
  readonly receive: <E>(
    channel: string,
    name: string,
    bytes: Stream.Stream<Uint8Array, E>
  ) => Effect.Effect<Received, HostingError | E>
  /** What was received under a name, published or not; undefined when nothing was. */
  readonly received: (channel: string, name: string) => Effect.Effect<Manifest.Binary | undefined, HostingError>
  /**
   * Makes the release of that tag, whose files and manifests were received, the channel's newest. One that is older than
   * the newest, and whose head is not there either, is published beside it, for whoever asks for it by name.
   */
  readonly publish: (channel: string, tag: string) => Effect.Effect<Published, HostingError>
}

/** Manifests and signatures, which may be received anew. */
const isManifest = (name: string): boolean => /\.json(\.sig)?$/.test(name)

/** A channel that the name of a manifest begins with: a head has its name alone, a version is behind a hyphen. */
const channelIn = (manifest: string): string | undefined => /^([a-z0-9-]+?)(?:-v\d+\..*)?\.json$/.exec(manifest)?.[1]

const isOlder = (version: Version.Version, { version: than }: Manifest.Manifest): boolean =>
  Either.match(Version.parse(than), { onLeft: () => false, onRight: (other) => Version.compare(version, other) < 0 })

/** Puts a file where nobody has one of its name yet. */
const moveIn = async (from: string, to: string): Promise<void> => {
  await Shelf.makeFolderOf(to)
  // Unlike a rename, a link replaces nothing. Where there are none, names do not meet within a moment either.
  await Fs.link(from, to).catch(async (cause: unknown) => {
    if (Disk.codeOf(cause) === "EEXIST") throw cause
    await Fs.rename(from, to)
  })
}

/** The channels in the folder that a hub's configuration names. */
export const make = ({ data, key: named, publicURL }: ChannelsConfig): Effect.Effect<Hosting, HostingError> =>
  Effect.gen(function* () {
    const key =
      named === undefined
        ? undefined
        : yield* Either.mapLeft(Ed25519.parsePublic(named), (why) => conflict(`channels.key ${why}`))
    const { changed, look } = PublishedFolder.make(data, key)
    const turns = yield* Effect.makeSemaphore(1)
    let uploads = 0

    const checkNames = (channel: string, name: string): Effect.Effect<void, HostingError> => {
      if (!Channel.isChannel(channel)) return invalid(`${quoted(channel)} is no channel`)
      return Channel.isFile(name) ? Effect.void : invalid(`${quoted(name)} is no name of a file`)
    }

    const store = <E>(channel: string, name: string, bytes: Stream.Stream<Uint8Array, E>) =>
      Effect.gen(function* () {
        const most = isManifest(name) ? MANIFEST_BYTES : CHANNEL_FILE_BYTES
        const { path, sha256, size } = yield* Shelf.takeIn(data, name, bytes, most)
        const file = Shelf.fileOf(data, channel, name)
        if (isManifest(name)) {
          yield* Shelf.attempt(name, async () => {
            await Shelf.makeFolderOf(file)
            await Fs.rename(path, file)
          })
          return { size, path: file }
        }
        const there = yield* Shelf.digestOf(file)
        if (there === undefined) yield* Shelf.attempt(name, () => moveIn(path, file))
        else if (there.sha256 !== sha256) {
          return yield* conflict(`${name} is there with other contents, and somebody may have it; raise the version`)
        }
        return { size, path: file }
      }).pipe(Effect.scoped)

    /** A manifest that was uploaded, with its signature. */
    const uploaded = (channel: string, name: string) =>
      Effect.gen(function* () {
        if (key === undefined) {
          return yield* conflict(
            "channels.key is missing in telahubd.yaml: the public key that releases are signed with"
          )
        }
        const read = (file: string) =>
          Effect.promise(() => Fs.readFile(Shelf.fileOf(data, channel, file)).catch(() => undefined))
        const bytes = yield* read(name)
        const signature = yield* read(Channel.signatureFile(name))
        if (bytes === undefined || signature === undefined) {
          return yield* conflict(`${bytes === undefined ? name : Channel.signatureFile(name)} was not uploaded`)
        }
        return yield* Either.mapLeft(Signed.verify({ bytes, signature }, key), ({ kind, message }) =>
          untrusted(
            kind === "signature" ? `${name} is not signed with channels.key (${key.fingerprint})` : `${name} ${message}`
          )
        )
      })

    /** Whether this hub is where a manifest says that its files are. */
    const isHere = (manifest: Manifest.Manifest): Effect.Effect<boolean, HostingError> => {
      const place = Checks.placeOf(manifest)
      if (place._tag === "Nowhere") return conflict(place.message)
      const own = publicURL && `${publicURL.replace(/\/+$/, "")}/files/${manifest.channel}`
      return Effect.succeed(place._tag === "Beside" || place.address === own)
    }

    const checkFiles = (manifest: Manifest.Manifest): Effect.Effect<void, HostingError> =>
      Effect.gen(function* () {
        if (!(yield* isHere(manifest))) return
        for (const [name, binary] of Object.entries(manifest.binaries)) {
          const there = yield* Shelf.digestOf(Shelf.fileOf(data, manifest.channel, name))
          if (there === undefined) return yield* conflict(`${name} was not uploaded`)
          if (there.size !== binary.size || there.sha256 !== binary.sha256.toLowerCase()) {
            return yield* untrusted(`${name} is not what the signed manifest says`)
          }
        }
      })

    const check = (manifest: Manifest.Manifest, expected: Checks.Expected): Effect.Effect<void, HostingError> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const problem = Checks.problemOf(manifest, expected, now)
        return problem === undefined ? Effect.void : untrusted(problem)
      })

    const publish = (channel: string, text: string) =>
      Effect.gen(function* () {
        const tagged = yield* Either.mapLeft(Version.parse(text), invalid)
        const tag = tagged.text
        const versionName = Channel.versionFile(channel, tag)
        const headName = Channel.headFile(channel)
        yield* checkNames(channel, versionName)
        const version = yield* uploaded(channel, versionName)
        const head = yield* uploaded(channel, headName)
        const { manifests } = yield* look(channel)
        const before = manifests.get(headName)?.manifest
        const same = manifests.get(versionName)?.manifest
        const isEarlier = before !== undefined && head.manifest.tag !== tag && isOlder(tagged, before)
        yield* check(version.manifest, { kind: "version", channel, tag })
        if (!isEarlier) yield* check(head.manifest, { kind: "head", channel, tag })
        yield* checkFiles(version.manifest)
        if (!isEarlier && !Checks.haveSameFiles(head.manifest, version.manifest)) {
          return yield* untrusted("the two manifests of the release name different files")
        }
        if (same !== undefined && !Checks.haveSameFiles(same, version.manifest)) {
          return yield* conflict(`${tag} is published with other files; raise the version`)
        }
        if (
          !isEarlier &&
          before !== undefined &&
          Date.parse(head.manifest.publishedAt) < Date.parse(before.publishedAt)
        ) {
          return yield* conflict(
            `${tag} was made before ${before.version}, which is published; an old release is not made the newest again`
          )
        }
        if (same === undefined && manifests.size > CHANNEL_RELEASES) {
          return yield* conflict(`${channel} has ${CHANNEL_RELEASES} releases; remove some from the folder of channels`)
        }
        const put = (name: string, { manifest, signed }: Signed.Verified) =>
          Effect.gen(function* () {
            const manifestPath = Shelf.publishedOf(data, channel, name)
            yield* Effect.ensuring(
              Shelf.attempt(name, () => Shelf.replace(manifestPath, Signed.join(signed))),
              Effect.sync(() => changed(channel))
            )
            return { manifest, manifestPath }
          })
        const published = yield* put(versionName, version)
        // Last: it is what makes everybody look for the rest.
        return isEarlier ? published : yield* put(headName, head)
      })

    return {
      manifest: (name) =>
        Effect.gen(function* () {
          const manifest = name.replace(/\.sig$/, "")
          const channel = channelIn(manifest)
          if (channel === undefined || !Channel.isChannel(channel)) return undefined
          const found = (yield* look(channel)).manifests.get(manifest)?.signed
          return found && (manifest === name ? found.bytes : found.signature)
        }),
      file: (channel, name) =>
        Effect.gen(function* () {
          if (!Channel.isChannel(channel) || !Channel.isFile(name)) return undefined
          const listed = (yield* look(channel)).files.get(name)
          const path = Shelf.fileOf(data, channel, name)
          const stat = yield* Effect.promise(() => Fs.stat(path).catch(() => undefined))
          return listed !== undefined && stat?.size === listed.size ? { path, size: listed.size } : undefined
        }),
      receive: (channel, name, bytes) =>
        Effect.gen(function* () {
          yield* checkNames(channel, name)
          if (uploads >= CHANNEL_UPLOADS) {
            return yield* new HostingError({
              kind: "busy",
              message: "other uploads are under way; try again in a moment"
            })
          }
          uploads++
          return yield* Effect.ensuring(
            store(channel, name, bytes),
            Effect.sync(() => uploads--)
          )
        }),
      received: (channel, name) =>
        Effect.zipRight(checkNames(channel, name), Shelf.digestOf(Shelf.fileOf(data, channel, name))),
      publish: (channel, tag) => turns.withPermits(1)(publish(channel, tag))
    }
  })
