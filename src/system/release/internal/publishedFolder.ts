/** What a hub has published, as its folder has it: manifests that are signed as they must be, and the files that they name. */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Ed25519 from "../../../crypto/Ed25519.ts"
import { CHANNEL_RELEASES } from "../../../protocol/Limits.ts"
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

/** What is published of a channel; read anew when the folder has changed, whoever did that. */
export const make = (data: string, key: Ed25519.PublicKey | undefined): ((channel: string) => Effect.Effect<Known>) => {
  const known = new Map<string, Known>()
  const readSigned = (channel: string, manifest: string): Effect.Effect<Signed.Verified | undefined> =>
    Effect.promise(async () => {
      const bytes = await Fs.readFile(Shelf.publishedOf(data, channel, manifest)).catch(() => undefined)
      const signed = bytes && Signed.split(bytes)
      // What somebody did to the folder is not served as if it were signed.
      return signed && key && Either.getOrUndefined(Signed.verify(signed, key))
    })

  return (channel) =>
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
      known.set(channel, found)
      return found
    })
}
