/**
 * Ids of sessions: which hub made it, 16 random bytes that nobody can guess, and a mark of the token that it was asked for
 * with. By the mark a hub that knows nothing else of a session can tell whether its identity is still the one it was, and
 * not another of the same name.
 */
import * as Crypto from "node:crypto"

const RANDOM_BYTES = 16
const MARK_BYTES = 6
const MARK_CHARACTERS = 2 * MARK_BYTES
const MARKED = new RegExp(`^[0-9a-f]{${8 + 2 * RANDOM_BYTES + MARK_CHARACTERS}}$`)

/** The same for every session of a token; without the token's SHA-256, which no agent has, it says nothing. */
const markOf = (tokenHash: string): string =>
  Crypto.createHmac("sha256", tokenHash).update("tela session").digest("hex").slice(0, MARK_CHARACTERS)

/** A new id. `node` is 8 hex characters. */
export const make = (node: string, tokenHash: string): string =>
  node + Crypto.randomBytes(RANDOM_BYTES).toString("hex") + markOf(tokenHash)

/** Whether the session was asked for with the token of this SHA-256, as far as its id says. */
export const isOf = (sessionId: string, tokenHash: string): boolean =>
  MARKED.test(sessionId) && sessionId.endsWith(markOf(tokenHash))
