/**
 * Ids of sessions: which hub made it, 16 random bytes that nobody can guess, and a mark of the token that it was asked for
 * with. By the mark a hub that knows nothing else of a session can tell whether its identity is still the one it was, and
 * not another of the same name. It is made under the hub's own key: whoever sees an id learns nothing of the token, also
 * when a person chose it.
 */
import * as Crypto from "node:crypto"
import * as Redacted from "effect/Redacted"

const RANDOM_BYTES = 16
const MARK_BYTES = 6
const MARK_CHARACTERS = 2 * MARK_BYTES
const MARKED = new RegExp(`^[0-9a-f]{${8 + 2 * RANDOM_BYTES + MARK_CHARACTERS}}$`)

/** The ids of one hub. */
export interface SessionIds {
  /** A new one, asked for with the token of this SHA-256. */
  readonly next: (tokenHash: string) => string
  /** Whether it was asked for with the token of this SHA-256, as far as the id says. */
  readonly isOf: (sessionId: string, tokenHash: string) => boolean
}

/** `node` is 8 hex characters. */
export const make = (node: string, key: Redacted.Redacted<Uint8Array>): SessionIds => {
  const markOf = (tokenHash: string): string =>
    Crypto.createHmac("sha256", Redacted.value(key))
      .update(`tela session ${tokenHash}`)
      .digest("hex")
      .slice(0, MARK_CHARACTERS)
  return {
    next: (tokenHash) => node + Crypto.randomBytes(RANDOM_BYTES).toString("hex") + markOf(tokenHash),
    isOf: (sessionId, tokenHash) => MARKED.test(sessionId) && sessionId.endsWith(markOf(tokenHash))
  }
}
