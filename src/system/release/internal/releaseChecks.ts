/** What has to be right about the two manifests of a release: said the same to whoever sends them and to whoever takes them. */
import { quoted } from "../../../protocol/Printable.ts"
import * as Manifest from "../Manifest.ts"

/** What a manifest is to be of. */
export interface Expected {
  readonly kind: Manifest.Manifest["kind"]
  readonly channel: string
  readonly tag: string
}

const shown = ({ channel, kind, tag }: Expected): string => `${kind} ${channel} ${tag}`

/** Why a manifest is another than was expected, or counts no more; undefined when nothing is wrong. */
export const problemOf = (manifest: Manifest.Manifest, expected: Expected, now: number): string | undefined => {
  const is = shown(manifest)
  if (is !== shown(expected)) return `a manifest is of ${is}, where that of ${shown(expected)} is expected`
  return Manifest.hasExpired(manifest, now) ? `the manifest of ${is} has expired; sign it anew` : undefined
}

const filesOf = ({ binaries }: Manifest.Manifest): string => JSON.stringify(Object.entries(binaries).toSorted())

/** Whether two manifests name the same files. */
export const haveSameFiles = (one: Manifest.Manifest, other: Manifest.Manifest): boolean =>
  filesOf(one) === filesOf(other)

/** Where a manifest says that its files are: in the channel's own folder, at another address, or nowhere that makes sense. */
export type Place =
  | { readonly _tag: "Beside" }
  | { readonly _tag: "At"; readonly address: string }
  | { readonly _tag: "Nowhere"; readonly message: string }

/** Where the files of a release are. */
export const placeOf = ({ channel, downloadBase }: Manifest.Manifest): Place => {
  const base = downloadBase.replace(/\/+$/, "")
  const beside = `files/${channel}`
  if (base === beside) return { _tag: "Beside" }
  if (URL.canParse(downloadBase)) return { _tag: "At", address: base }
  const message = `the release has its files in ${quoted(downloadBase)}, and a hub in ${beside}/`
  return { _tag: "Nowhere", message }
}
