/**
 * What a release says of itself: `release.json` beside its program. With it comes the public key that its updates must be
 * signed with.
 */
import * as Schema from "effect/Schema"
import { ChannelName } from "../../protocol/Channel.ts"

/** The three programs that there are releases of. */
export const programs = ["tela", "telad", "telahubd"] as const
export type ProgramName = (typeof programs)[number]

export const ReleaseFile = Schema.Struct({
  program: Schema.Literal(...programs),
  /** As the program prints it. */
  version: Schema.String,
  /** The machine by Go's names. */
  os: Schema.String,
  arch: Schema.String,
  /** The channel that it was made for, which it follows unless another is configured. */
  channel: ChannelName,
  /** The one line of the PEM of an Ed25519 public key. */
  key: Schema.String
})
export type ReleaseFile = typeof ReleaseFile.Type

export const FILE_NAME = "release.json"

export const decode = Schema.decodeUnknown(Schema.parseJson(ReleaseFile))

/** Programs that run for long: a new version of them is on trial until it does what it is there for. */
export const isDaemon = (program: ProgramName): boolean => program !== "tela"
