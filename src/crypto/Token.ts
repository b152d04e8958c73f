/**
 * Bearer tokens: 32 random bytes as 64 hex characters (spec: hub-api 2.1). The hub keeps a token's SHA-256 and its first
 * few characters, never the token itself; a token is found by its digest, so no comparison runs on secret text.
 */
import * as Crypto from "node:crypto"
import * as Redacted from "effect/Redacted"

/** Characters of a token that are kept and shown at most, so that people can tell tokens apart. */
export const PREFIX_CHARS = 8

/** Of how many characters one may be shown: people choose short tokens, too, of which the most must stay secret. */
const CHARS_PER_SHOWN = 8

/** What a text must be to be sent as a token: HTTP headers carry no control characters, and nothing beyond Latin-1. */
export const format = /^[\x20-\x7e\xa0-\xff]*$/

/** A fresh token. */
export const generate = (): Redacted.Redacted => Redacted.make(Crypto.randomBytes(32).toString("hex"))

/** What the hub keeps of a token: its SHA-256 as 64 hex characters. */
export const hashOf = (token: Redacted.Redacted): string =>
  Crypto.createHash("sha256").update(Redacted.value(token)).digest("hex")

/** What the hub shows of a token: an eighth of it, PREFIX_CHARS at most. */
export const prefixOf = (token: Redacted.Redacted): string => {
  const text = Redacted.value(token)
  return text.slice(0, Math.min(PREFIX_CHARS, Math.floor(text.length / CHARS_PER_SHOWN)))
}

/** A token as an identity has it: {@link hashOf} and {@link prefixOf}. */
export interface Kept {
  readonly tokenHash: string
  readonly prefix: string
}

/** What a hub keeps of a token. */
export const kept = (token: Redacted.Redacted): Kept => ({
  tokenHash: hashOf(token),
  prefix: prefixOf(token)
})
