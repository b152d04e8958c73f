/** Names of release channels and of the files in them (spec: hub-api 7.1, 7.2). */
import * as Schema from "effect/Schema"
import { CHANNEL_NAME_CHARACTERS } from "./Limits.ts"

const channelPattern = new RegExp(`^[a-z0-9-]{1,${CHANNEL_NAME_CHARACTERS}}$`)
const filePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/

/** Whether a text names a channel: lower-case letters, digits and hyphens. */
export const isChannel = (text: string): boolean => channelPattern.test(text)

/** Whether a text names a file of a channel. None of them leads out of its folder. */
export const isFile = (text: string): boolean => filePattern.test(text)

/** A name of a channel. */
export const ChannelName = Schema.String.pipe(
  Schema.pattern(channelPattern),
  Schema.annotations({ description: "a channel such as stable: lower-case letters, digits and hyphens" })
)

/** A name of a file of a channel. */
export const FileName = Schema.String.pipe(Schema.pattern(filePattern))

/** The channels that every installation knows by name, whether they have a source or not. */
export const known: ReadonlyArray<string> = ["dev", "beta", "stable"]

/** The manifest of a channel's newest release, and of one certain release: what follows the base address. */
export const headFile = (channel: string): string => `${channel}.json`
export const versionFile = (channel: string, version: string): string => `${channel}-${version}.json`

/** The signature beside a manifest. */
export const signatureFile = (manifest: string): string => `${manifest}.sig`

/** What a program's archive of a release is called; its platform by Go's names. */
export const archiveFile = (program: string, version: string, os: string, arch: string): string =>
  `${program}-${version}-${os}-${arch}.tar.gz`
