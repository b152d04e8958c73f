/**
 * What is kept of a pairing code: a digest under the hub's own key. A code has 40 random bits, so a plain digest could be
 * turned back into it by trying all.
 */
import * as Crypto from "node:crypto"
import * as Redacted from "effect/Redacted"

/** HMAC-SHA256 of a canonical code as 64 hex characters. */
export const codeDigest =
  (key: Redacted.Redacted<Uint8Array>) =>
  (code: Redacted.Redacted): string =>
    Crypto.createHmac("sha256", Redacted.value(key)).update(Redacted.value(code)).digest("hex")
