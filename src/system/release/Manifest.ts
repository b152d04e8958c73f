/**
 * What a channel says of a release: the deployed programs' manifest (spec: hub-api 7.2) with two members of ours. A signed
 * manifest is the bytes that were signed; this is what they mean, and is read only after the signature
 * ({@link file://./Signed.ts}).
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Channel from "../../protocol/Channel.ts"
import * as Duration from "../../protocol/Duration.ts"
import { RELEASE_ARCHIVE_BYTES, RELEASE_BINARIES } from "../../protocol/Limits.ts"
import * as Version from "./Version.ts"

/** A time as RFC 3339 has it; kept as it stands. */
const Instant = Schema.String.pipe(
  Schema.filter((text) => Either.isRight(Duration.parseInstant(text))),
  Schema.annotations({ description: "a time such as 2027-01-31T12:00:00Z" })
)

const VersionText = Schema.String.pipe(
  Schema.filter((text) => Either.getOrUndefined(Version.parse(text))?.text === text),
  Schema.annotations({ description: "a version such as v1.2.3" })
)

/** One file of a release. The digest is hexadecimal, of either case. */
export const Binary = Schema.Struct({
  sha256: Schema.String.pipe(Schema.pattern(/^[0-9a-fA-F]{64}$/)),
  size: Schema.Int.pipe(Schema.between(1, RELEASE_ARCHIVE_BYTES))
})
export type Binary = typeof Binary.Type

/** A release. Further members are ignored. */
export const Manifest = Schema.Struct({
  channel: Channel.ChannelName,
  version: VersionText,
  tag: Schema.NonEmptyString,
  publishedAt: Instant,
  /** Where the files are; relative to the manifest's own address unless it is one itself. */
  downloadBase: Schema.NonEmptyString,
  binaries: Schema.Record({ key: Channel.FileName, value: Binary }).pipe(
    Schema.filter((binaries) => {
      const count = Object.keys(binaries).length
      return count > 0 && count <= RELEASE_BINARIES
    })
  ),
  /**
   * Ours: `head` is what the channel offers, and only that is an answer to what its newest release is; `version` is one
   * that was asked for by name. Both are signed, so that an old release cannot be shown as the newest.
   */
  kind: Schema.Literal("head", "version"),
  /** Ours: from then on it counts no more, so that nobody can hold a fleet on an old release unnoticed. */
  expires: Instant
})
export type Manifest = typeof Manifest.Type

const decode = Schema.decodeUnknownEither(Schema.parseJson(Manifest))

/** Reads a manifest whose signature is good. The other side is the end of a sentence. */
export const read = (bytes: Uint8Array): Either.Either<Manifest, string> =>
  Either.mapLeft(decode(Buffer.from(bytes).toString("utf8")), (error) => {
    const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
    const member = issue?.path.map(String).join(".") ?? ""
    return `is signed, but no manifest that this version understands${member === "" ? "" : ` (${member})`}`
  })

/** The bytes of a manifest, as they are to be signed: members always in the same order. */
export const write = (manifest: Manifest): Uint8Array => {
  const { binaries, channel, downloadBase, expires, kind, publishedAt, tag, version } = manifest
  const sorted = Object.fromEntries(Object.entries(binaries).toSorted(([a], [b]) => (a < b ? -1 : 1)))
  const members = { channel, version, tag, publishedAt, downloadBase, kind, expires, binaries: sorted }
  return Buffer.from(`${JSON.stringify(members, undefined, 2)}\n`)
}

/** Whether it counts no more, at a time in milliseconds since the epoch. */
export const hasExpired = ({ expires }: Manifest, now: number): boolean => Date.parse(expires) <= now

/** The address of one of its files. */
export const fileAddress = (manifest: Manifest, manifestAddress: string, file: string): string => {
  const { downloadBase } = manifest
  return new URL(file, new URL(downloadBase.endsWith("/") ? downloadBase : `${downloadBase}/`, manifestAddress)).href
}
