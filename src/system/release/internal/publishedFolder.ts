/** What a hub has published, as its folder has it: manifests that are signed as they must be, and the files that they name. */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Ed25519 from "../../../crypto/Ed25519.ts"
import { CHANNEL_FOLDER_SETTLES, CHANNEL_RELEASES } from "../../../protocol/Limits.ts"
import type * as Manifest from "../Manifest.ts"
import * as Signed from "../Signed.ts"
import * as Shelf from "./shelf.ts"

/** What is published of one channel, and what the folder looked like when it was read. */
export interface Known {
  readonly seen: string
  readonly manifests: ReadonlyMap<string, Signed.Verified>
  readonly files: ReadonlyMap<string, Manifest.Binary>
}

const nothing: Known = { seen: "", manifests: new Map(), files: new Map() }

export interface PublishedFolder {
  /** What is published of a channel; read anew when the folder has changed, whoever did that. */
  readonly look: (channel: string) => Effect.Effect<Known>
  /** The folder of a channel was changed by this program: what is known of it counts no more. */
  readonly changed: (channel: string) => void
}

/**
 * Whether a folder was changed a moment ago, by its own times: it may change again and look the same, since a file system
 * counts time in ticks, some of a second or two.
 */
const isUnsettled = ({ ctimeNs, mtimeNs }: { readonly ctimeNs: bigint; readonly mtimeNs: bigint }): boolean =>
  [ctimeNs, mtimeNs].some((at) => Math.abs(Date.now() - Number(at / 1_000_000n)) < CHANNEL_FOLDER_SETTLES)

/** The published part of a folder of channels. */
export const make = (data: string, key: Ed25519.PublicKey | undefined): PublishedFolder => {
  const known = new Map<string, Known>()
  const readSigned = (channel: string, manifest: string): Effect.Effect<Signed.Verified | undefined> =>
    Effect.promise(async () => {
      const bytes = await Fs.readFile(Shelf.publishedOf(data, channel, manifest)).catch(() => undefined)
      const signed = bytes && Signed.split(bytes)
      // What somebody did to the folder is not served as if it were signed.
      return signed && key && Either.getOrUndefined(Signed.verify(signed, key))
    })

  const look = (channel: string) =>
    Effect.gen(function* () {
      const folder = Shelf.publishedFolder(data, channel)
      const stat = yield* Effect.promise(() => Fs.stat(folder, { bigint: true }).catch(() => undefined))
      if (stat === undefined) return nothing
      const seen = `${stat.ino} ${stat.mtimeNs} ${stat.ctimeNs}`
      const before = known.get(channel)
      if (before?.seen === seen) return before
      const names = yield* Effect.promise(() => Fs.readdir(folder).catch((): Array<string> => []))
      const manifests = new Map<string, Signed.Verified>()
      const files = new Map<string, Manifest.Binary>()
      for (const name of Shelf.manifestsIn(names).slice(0, CHANNEL_RELEASES + 1)) {
        const verified = yield* readSigned(channel, name)
        if (verified === undefined) {
          yield* Effect.logWarning("a published manifest is not signed with channels.key, and not served", {
            channel,
            manifest: name
          })
          continue
        }
        manifests.set(name, verified)
        for (const [file, binary] of Object.entries(verified.manifest.binaries)) files.set(file, binary)
      }
      const found = { seen, manifests, files }
      if (isUnsettled(stat)) known.delete(channel)
      else known.set(channel, found)
      return found
    })

  return { look, changed: (channel) => void known.delete(channel) }
}
