/**
 * ChaCha20-Poly1305 (RFC 8439), twice: by OpenSSL through node:crypto, ten times as fast on large records, and by
 * @noble/ciphers, which runs where OpenSSL lacks it. Both are held to the RFC's vectors and to each other.
 */
import * as Crypto from "node:crypto"
import { chacha20poly1305 } from "@noble/ciphers/chacha.js"

export const TAG_BYTES = 16
export const NONCE_BYTES = 12

/** Authenticated encryption with associated data. Nonces are 12 bytes and never repeated under a key by the caller. */
export interface Aead {
  /**
   * Encrypts `parts`, one after another, and appends the tag. Writes to `out` from `offset` on, which must have room for
   * the parts and TAG_BYTES; returns the offset behind the tag.
   */
  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    parts: ReadonlyArray<Uint8Array>,
    out: Uint8Array,
    offset: number
  ): number
  /** The plaintext of a ciphertext with its tag, or undefined when it is not authentic. */
  open(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array): Uint8Array | undefined
}

const length = (parts: ReadonlyArray<Uint8Array>) => parts.reduce((sum, part) => sum + part.length, 0)

const algorithm = "chacha20-poly1305"
const options = { authTagLength: TAG_BYTES }

/** Each call into OpenSSL costs about a microsecond, copying this much a tenth of that. */
const GATHER_BYTES = 2_048

/** The same bytes in fewer parts: neighbours that are small are put together. */
const gather = (parts: ReadonlyArray<Uint8Array>): ReadonlyArray<Uint8Array> => {
  const gathered: Array<Uint8Array> = []
  let small: Array<Uint8Array> = []
  const flush = () => {
    if (small.length > 0) gathered.push(small.length === 1 && small[0] !== undefined ? small[0] : Buffer.concat(small))
    small = []
  }
  for (const part of parts) {
    if (part.length < GATHER_BYTES) small.push(part)
    else {
      flush()
      gathered.push(part)
    }
  }
  flush()
  return gathered
}

/** By OpenSSL. */
export const openssl: Aead = {
  seal: (key, nonce, associated, parts, out, offset) => {
    const cipher = Crypto.createCipheriv(algorithm, key, nonce, options)
    cipher.setAAD(associated, { plaintextLength: length(parts) })
    let end = offset
    for (const part of gather(parts)) {
      const sealed = cipher.update(part)
      out.set(sealed, end)
      end += sealed.length
    }
    cipher.final()
    out.set(cipher.getAuthTag(), end)
    return end + TAG_BYTES
  },
  open: (key, nonce, associated, sealed) => {
    const end = sealed.length - TAG_BYTES
    if (end < 0) return undefined
    const decipher = Crypto.createDecipheriv(algorithm, key, nonce, options)
    decipher.setAAD(associated, { plaintextLength: end })
    decipher.setAuthTag(sealed.subarray(end))
    const plaintext = decipher.update(sealed.subarray(0, end))
    try {
      decipher.final()
      return plaintext
    } catch {
      return undefined
    }
  }
}

/** By @noble/ciphers. */
export const noble: Aead = {
  seal: (key, nonce, associated, parts, out, offset) => {
    const sealed = chacha20poly1305(key, nonce, associated).encrypt(Buffer.concat(parts))
    out.set(sealed, offset)
    return offset + sealed.length
  },
  open: (key, nonce, associated, sealed) => {
    if (sealed.length < TAG_BYTES) return undefined
    try {
      return chacha20poly1305(key, nonce, associated).decrypt(sealed)
    } catch {
      return undefined
    }
  }
}

/** The fastest that this Node has. */
export const native: Aead = Crypto.getCiphers().includes(algorithm) ? openssl : noble
