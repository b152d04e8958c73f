/**
 * The key `update:` of telad.yaml, telahubd.yaml and credentials.yaml (spec: hub-api 3.1, cli 4.1): which release channel
 * the program follows, and where channels are.
 */
import * as Schema from "effect/Schema"
import { ChannelName } from "../protocol/Channel.ts"
import { optional, optionalOr } from "./YamlFile.ts"

/** What a file says of updates. */
export interface UpdateSettings {
  /** Undefined leaves it to the release. */
  readonly channel: string | undefined
  /** Base addresses by channel, as they stand there. */
  readonly sources: Readonly<Record<string, string>>
  /** The public key that updates must be signed with, in place of the release's own. Nothing of ours writes it. */
  readonly key: string | undefined
}

/** What a file without the key says. */
export const none: UpdateSettings = { channel: undefined, sources: {}, key: undefined }

/** The key as a Schema. */
export const UpdateShape = Schema.Struct({
  channel: optional(ChannelName),
  sources: optionalOr(Schema.Record({ key: ChannelName, value: Schema.String }), {}),
  key: optional(Schema.String)
})

/** The settings in it. */
export const settingsOf = (update: typeof UpdateShape.Type | undefined): UpdateSettings =>
  update === undefined ? none : { channel: update.channel, sources: update.sources, key: update.key }

/** A change of them: another channel, another base address of a channel, or, by `null`, none. */
export interface UpdateEdit {
  readonly channel?: string
  readonly source?: { readonly name: string; readonly base: string | null }
}

/** The settings after a change. */
export const edited = (settings: UpdateSettings, { channel, source }: UpdateEdit): UpdateSettings => {
  const { [source?.name ?? ""]: _former, ...others } = settings.sources
  const sources =
    source === undefined ? settings.sources : source.base === null ? others : { ...others, [source.name]: source.base }
  return { ...settings, channel: channel ?? settings.channel, sources }
}
