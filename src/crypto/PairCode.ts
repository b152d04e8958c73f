/**
 * Pairing codes: eight Crockford base32 characters, 40 random bits, shown as XXXX-XXXX. Read whatever the case and the
 * dashes, and with the letters that people confuse (I, L and O) taken for the digits they look like.
 */
import * as Crypto from "node:crypto"
import * as Redacted from "effect/Redacted"

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
const LENGTH = 8

/** A fresh code in its canonical form. */
export const generate = (): Redacted.Redacted =>
  Redacted.make(Array.from(Crypto.randomBytes(LENGTH), (byte) => ALPHABET.charAt(byte & 31)).join(""))

/** The canonical form of what a person typed; undefined when it can be no code. */
export const canonical = (text: string): Redacted.Redacted | undefined => {
  const bare = text.toUpperCase().replace(/[\s-]/g, "").replace(/[IL]/g, "1").replaceAll("O", "0")
  return bare.length === LENGTH && [...bare].every((char) => ALPHABET.includes(char)) ? Redacted.make(bare) : undefined
}

/** How a canonical code is shown. */
export const show = (code: Redacted.Redacted): string =>
  `${Redacted.value(code).slice(0, LENGTH / 2)}-${Redacted.value(code).slice(LENGTH / 2)}`
