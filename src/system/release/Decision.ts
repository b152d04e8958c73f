/**
 * Whether a release is to be installed in place of another, and if not, why. Pure: everything that decides is an argument,
 * and the same goes for whoever asks, at the terminal or from afar.
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import { archiveFile } from "../../protocol/Channel.ts"
import { quoted } from "../../protocol/Printable.ts"
import * as Manifest from "./Manifest.ts"
import * as Version from "./Version.ts"

/** What runs here: a program, its version, and the machine by Go's names. */
export interface Subject {
  readonly program: string
  readonly version: Version.Version
  readonly os: string
  readonly arch: string
}

/** What was asked for: the head of a channel, or one version of it. */
export interface Wanted {
  readonly channel: string
  readonly version: Version.Version | undefined
}

/** A release that may be installed. */
export interface Candidate {
  readonly manifest: Manifest.Manifest
  readonly version: Version.Version
  /** Its archive for this program and machine. */
  readonly file: string
  readonly binary: Manifest.Binary
}

/** What is to be done. */
export type Decision = Data.TaggedEnum<{
  /** It is installed already. */
  Current: { readonly version: Version.Version }
  Install: { readonly candidate: Candidate }
}>
export const Decision = Data.taggedEnum<Decision>()

/** It will not be installed. The message is a sentence that says what to do, where something can be done. */
export class Refusal extends Data.TaggedError("Refusal")<{
  readonly kind: "other-channel" | "other-version" | "other-kind" | "expired" | "older" | "no-archive"
  readonly message: string
}> {}

const refuse = (kind: Refusal["kind"], message: string) => Either.left(new Refusal({ kind, message }))

/** Decides about a manifest whose signature is good. */
export const decide = (
  manifest: Manifest.Manifest,
  options: {
    readonly subject: Subject
    readonly wanted: Wanted
    readonly allowDowngrade: boolean
    /** Milliseconds since the epoch. */
    readonly now: number
  }
): Either.Either<Decision, Refusal> => {
  const { allowDowngrade, now, subject, wanted } = options
  const isHead = wanted.version === undefined
  if (manifest.channel !== wanted.channel) {
    return refuse("other-channel", `what is there is of the channel ${manifest.channel}, not of ${wanted.channel}`)
  }
  if ((manifest.kind === "head") !== isHead) {
    return refuse(
      "other-kind",
      isHead
        ? `what is there as the newest release is the manifest of ${manifest.version} alone: the server may hold back what is newer`
        : `what is there is the newest release, not the manifest of ${wanted.version.text} that was asked for`
    )
  }
  if (wanted.version !== undefined && manifest.version !== wanted.version.text) {
    return refuse("other-version", `what is there is ${manifest.version}, not ${wanted.version.text}`)
  }
  if (Manifest.hasExpired(manifest, now)) {
    return refuse(
      "expired",
      `what is there expired at ${manifest.expires}: whoever makes the releases must sign it anew, if this computer's clock is right`
    )
  }
  return Either.flatMap(
    Either.mapLeft(Version.parse(manifest.version), (message) => new Refusal({ kind: "other-version", message })),
    (version): Either.Either<Decision, Refusal> => {
      if (version.text === subject.version.text) return Either.right(Decision.Current({ version }))
      if (Version.compare(version, subject.version) <= 0 && !allowDowngrade) {
        return refuse("older", `${version.text} is older than ${subject.version.text}, which is installed`)
      }
      const file = archiveFile(subject.program, version.text, subject.os, subject.arch)
      const binary = Object.hasOwn(manifest.binaries, file) ? manifest.binaries[file] : undefined
      if (binary === undefined) {
        return refuse(
          "no-archive",
          `${version.text} has no ${quoted(file)}: it was not made for this program and machine`
        )
      }
      return Either.right(Decision.Install({ candidate: { manifest, version, file, binary } }))
    }
  )
}
