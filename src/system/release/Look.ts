/**
 * Asks a channel for its newest release, or for one version of it: fetched, its signature checked, and decided about. What
 * a server says counts for nothing until then.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Ed25519 from "../../crypto/Ed25519.ts"
import { signatureFile } from "../../protocol/Channel.ts"
import { MANIFEST_BYTES, UPDATE_LOOK_TIMEOUT } from "../../protocol/Limits.ts"
import type { UpdateSettings } from "../../store/UpdateSettings.ts"
import type { FetchError } from "../../transport/Fetch.ts"
import * as Decision from "./Decision.ts"
import * as Download from "./Download.ts"
import type { Origin } from "./Origin.ts"
import type { ReleaseFile } from "./ReleaseFile.ts"
import * as Signed from "./Signed.ts"
import * as Source from "./Source.ts"
import { UpdateRefused } from "./Updater.ts"
import type { UpdateRequest } from "./Updater.ts"
import * as Version from "./Version.ts"

/** Where to look, for what, and whose signature it must have. */
export interface Place {
  readonly wanted: Decision.Wanted
  /** The address of the manifest; undefined when the channel has no source, in which case `why` says so. */
  readonly address: string | undefined
  readonly why: string
  /** The other side is why there is none. */
  readonly key: Either.Either<Ed25519.PublicKey, UpdateRefused>
}

const invalid = (message: string) => new UpdateRefused({ kind: "invalid", message })
const refused = (message: string) => new UpdateRefused({ kind: "refused", message })
const unreachable = (message: string) => new UpdateRefused({ kind: "unreachable", message })

/** What a version is asked for by when the newest is meant. */
const isHead = (version: string | undefined) => version === undefined || version === "" || version === "latest"

/** The key that updates of a release must be signed with: the release's own, unless the configuration names another. */
export const keyOf = (
  settings: UpdateSettings,
  release: ReleaseFile
): Either.Either<Ed25519.PublicKey, UpdateRefused> => {
  const named = settings.key ?? release.key
  if (named === "") {
    const unknown =
      "this program was not installed from a release, so it does not know which key a release must be signed with"
    return Either.left(refused(`${unknown}; install it from one, or set update.key in its configuration`))
  }
  return Either.mapLeft(Ed25519.parsePublic(named), (problem) =>
    refused(settings.key === undefined ? `the key in release.json ${problem}` : `update.key ${problem}`)
  )
}

/** The channel that is followed: the one that is asked for, else the configured one, else the release's own. */
export const channelOf = (
  asked: Pick<UpdateRequest, "channel">,
  settings: UpdateSettings,
  release: ReleaseFile
): Either.Either<string, UpdateRefused> =>
  Either.mapLeft(Source.channelName(asked.channel || settings.channel || release.channel), invalid)

/** Where to look. */
export const place = (
  asked: UpdateRequest,
  settings: UpdateSettings,
  release: ReleaseFile
): Either.Either<Place, UpdateRefused> =>
  Either.gen(function* () {
    const channel = yield* channelOf(asked, settings, release)
    const version = isHead(asked.version)
      ? undefined
      : yield* Either.mapLeft(Version.parse(asked.version ?? ""), invalid)
    const base = asked.base
      ? yield* Either.mapLeft(Source.normalize(asked.base), invalid)
      : yield* Either.mapLeft(Source.baseOf(settings.sources, channel), refused)
    return {
      wanted: { channel, version },
      address: base === undefined ? undefined : Source.manifestAddress(base, channel, version?.text),
      why: `the channel ${channel} has no source; run: ${release.program} channel sources set ${channel} https://hub.example.com/channels`,
      key: keyOf(settings, release)
    }
  })

/** What a channel offers. */
export interface Offer {
  readonly verified: Signed.Verified
  /** Where its manifest was found; its files are found from there. */
  readonly address: string
  readonly key: Ed25519.PublicKey
  readonly version: Version.Version
  readonly decision: Either.Either<Decision.Decision, Decision.Refusal>
}

const fetched = (address: string): Effect.Effect<Signed.Signed, FetchError, Origin> =>
  Effect.all({
    bytes: Download.small(address, MANIFEST_BYTES),
    signature: Download.small(signatureFile(address), Ed25519.SIGNATURE_BYTES)
  })

/** The manifest at an address, which is signed with the key. */
const verified = (address: string, key: Ed25519.PublicKey) =>
  Effect.flatMap(fetched(address), (signed) => Signed.verify(signed, key)).pipe(
    // Manifest and signature are two files: they may have been replaced in between.
    Effect.retry({ times: 1, while: (error) => error._tag === "NotTrusted" && error.kind === "signature" }),
    Effect.mapError((error) => unreachable(error._tag === "NotTrusted" ? `${address} ${error.message}` : error.message))
  )

/** Looks there. Fails when nothing can be had that is signed; whether it is to be installed is a part of the offer. */
export const look = (
  { address, key: known, wanted, why }: Place,
  subject: Decision.Subject,
  options: { readonly allowDowngrade: boolean }
): Effect.Effect<Offer, UpdateRefused, Origin> =>
  Effect.gen(function* () {
    if (address === undefined) return yield* refused(why)
    const key = yield* known
    const found = yield* verified(address, key)
    const { manifest } = found
    const now = yield* Clock.currentTimeMillis
    const version = yield* Either.mapLeft(Version.parse(manifest.version), unreachable)
    const decision = Decision.decide(manifest, { subject, wanted, now, ...options })
    return { verified: found, address, key, version, decision }
  }).pipe(
    Effect.timeoutFail({
      duration: UPDATE_LOOK_TIMEOUT,
      onTimeout: () => unreachable(`${address}: no whole answer within ${UPDATE_LOOK_TIMEOUT / 1_000} s`)
    })
  )
