/**
 * Where a channel is read (spec: hub-api 7.1): the base address that is configured for it. There is none until somebody
 * configures one: a program asks nobody whom its owner has not named.
 */
import * as Either from "effect/Either"
import * as Channel from "../../protocol/Channel.ts"
import { quoted } from "../../protocol/Printable.ts"
import { isAllowed } from "../../transport/Fetch.ts"

const form = "write it as https://hub.example.com/channels"

/**
 * A base address as it is kept: without a slash at the end, and without the name of a manifest, which people copy along.
 * The other side is a sentence.
 */
export const normalize = (text: string): Either.Either<string, string> => {
  const wrong = (why: string) => Either.left(`${quoted(text)} ${why}; ${form}`)
  if (!URL.canParse(text.trim())) return wrong("is no address of a channel")
  const url = new URL(text.trim())
  if (url.protocol !== "https:" && url.protocol !== "http:") return wrong("is no address of a channel")
  if (!isAllowed(url)) return wrong("is not https, and not on this machine")
  if (url.username !== "" || url.password !== "") return wrong("has a user or password, which a channel cannot have")
  if (url.search !== "" || url.hash !== "") return wrong("has a query or a fragment, which a channel cannot have")
  const path = url.pathname.replace(/\/[^/]*\.json$/, "").replace(/\/+$/, "")
  return Either.right(`${url.origin}${path}`)
}

/** A channel's name as it is kept. The other side is a sentence. */
export const channelName = (text: string): Either.Either<string, string> => {
  const name = text.trim().toLowerCase()
  return Channel.isChannel(name)
    ? Either.right(name)
    : Either.left(`${quoted(text)} is no channel; its name has lower-case letters, digits and hyphens, such as stable`)
}

/** The base address of a channel; undefined when none is configured. The other side is a sentence about it. */
export const baseOf = (
  sources: Readonly<Record<string, string>>,
  channel: string
): Either.Either<string | undefined, string> => {
  const base = Object.hasOwn(sources, channel) ? (sources[channel] ?? "") : ""
  return base === ""
    ? Either.right(undefined)
    : Either.mapLeft(normalize(base), (why) => `source of ${channel}: ${why}`)
}

/** The address of a manifest: of the channel's head, or of one version. */
export const manifestAddress = (base: string, channel: string, version?: string): string =>
  `${base}/${version === undefined ? Channel.headFile(channel) : Channel.versionFile(channel, version)}`
