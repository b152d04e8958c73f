/**
 * An update from beginning to end, for whoever asks for it: look, decide, download, install. Nothing is replaced unless
 * every step before it succeeded.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { goarch, goos } from "../../protocol/Platform.ts"
import type { UpdateSettings } from "../../store/UpdateSettings.ts"
import type * as Decision from "./Decision.ts"
import * as Download from "./Download.ts"
import { Installation } from "./Installation.ts"
import type { Installed, InstallOptions } from "./Installation.ts"
import type { InstallError } from "./InstallError.ts"
import * as Look from "./Look.ts"
import * as Manifest from "./Manifest.ts"
import type { Origin } from "./Origin.ts"
import type { ReleaseFile } from "./ReleaseFile.ts"
import { UpdateRefused } from "./Updater.ts"
import type { UpdateRequest } from "./Updater.ts"
import * as Version from "./Version.ts"

/** This machine by Go's names, as releases have them. */
export const machine = { os: goos(process.platform), arch: goarch(process.arch) } as const

/** A failure of the installation as an answer to whoever asked. */
export const ofInstall = ({ kind, message }: InstallError): UpdateRefused =>
  new UpdateRefused({ kind: kind === "busy" || kind === "unwritable" ? kind : "refused", message })

/** A release that is not to be installed, as an answer to whoever asked. */
export const ofRefusal = ({ kind, message }: Decision.Refusal): UpdateRefused =>
  new UpdateRefused({ kind: kind === "older" || kind === "no-archive" ? "refused" : "unreachable", message })

/** What a release is compared with. */
export const subjectOf = (release: ReleaseFile): Effect.Effect<Decision.Subject, UpdateRefused> =>
  Effect.mapBoth(Version.parse(release.version), {
    onFailure: (message) => new UpdateRefused({ kind: "refused", message: `release.json: ${message}` }),
    onSuccess: (version) => ({ program: release.program, version, ...machine })
  })

/** What was asked for, and what the channel has. */
export interface Looked {
  readonly installed: Installed
  readonly place: Look.Place
  readonly offer: Look.Offer
}

/** Looks for what was asked for. */
export const look = (
  asked: UpdateRequest & { readonly allowDowngrade?: boolean },
  settings: UpdateSettings
): Effect.Effect<Looked, UpdateRefused, Installation | Origin> =>
  Effect.gen(function* () {
    const installation = yield* Installation
    const installed = yield* Effect.mapError(installation.installed, ofInstall)
    const place = yield* Look.place(asked, settings, installed.release)
    const subject = yield* subjectOf(installed.release)
    const offer = yield* Look.look(place, subject, { allowDowngrade: asked.allowDowngrade ?? false })
    return { installed, place, offer }
  })

/**
 * What a channel offers, when that can be believed, whether or not it is to be installed: an older release, and one that
 * has no archive for this machine, are offers too.
 */
export const offerAt = (
  place: Look.Place,
  subject: Decision.Subject
): Effect.Effect<Look.Offer, UpdateRefused, Origin> =>
  Effect.flatMap(Look.look(place, subject, { allowDowngrade: false }), (offer) => {
    const { decision } = offer
    return Either.isRight(decision) || decision.left.kind === "older" || decision.left.kind === "no-archive"
      ? Effect.succeed(offer)
      : ofRefusal(decision.left)
  })

/** Downloads and installs what was decided to be installed. */
export const install = (
  candidate: Decision.Candidate,
  manifestAddress: string,
  progress: {
    readonly onProgress: (progress: Download.Progress) => Effect.Effect<void>
    readonly onInstall: Effect.Effect<void>
  },
  options: InstallOptions = {}
): Effect.Effect<Installed, UpdateRefused, Installation | Origin> =>
  Effect.gen(function* () {
    const installation = yield* Installation
    const address = Manifest.fileAddress(candidate.manifest, manifestAddress, candidate.file)
    const archive = yield* Effect.mapError(
      Download.archive(address, candidate.binary, progress.onProgress),
      ({ message }) => new UpdateRefused({ kind: "unreachable", message })
    )
    yield* progress.onInstall
    return yield* Effect.mapError(installation.install(archive, candidate.version.text, options), ofInstall)
  })
