/**
 * One direction of a Noise transport (Noise section 5.1): a key, an implicit counting nonce, and the rekey of section 4.2
 * every REKEY_RECORDS messages, the counter running on.
 */
import { REKEY_RECORDS } from "../protocol/Limits.ts"
import { type Aead, NONCE_BYTES, native, TAG_BYTES } from "./Aead.ts"
import { KEY_BYTES } from "./KeyPair.ts"

const none = new Uint8Array(0)

/** Noise's nonce: four zero bytes, then the counter as 64 bits little-endian. */
const writeCounter = (nonce: Buffer, counter: number) => {
  nonce.writeUInt32LE(counter >>> 0, 4)
  nonce.writeUInt32LE(Math.floor(counter / 2 ** 32), 8)
}

/** The nonce 2^64 - 1, which no message uses. */
const lastNonce = Buffer.concat([Buffer.alloc(4), Buffer.alloc(8, 0xff)])

/** Noise REKEY(): the first 32 bytes of the encryption of zeros under the last nonce. */
export const rekey = (aead: Aead, key: Uint8Array): Uint8Array => {
  const sealed = new Uint8Array(KEY_BYTES + TAG_BYTES)
  aead.seal(key, lastNonce, none, [new Uint8Array(KEY_BYTES)], sealed, 0)
  return sealed.subarray(0, KEY_BYTES)
}

/** Seals or opens, never both: each direction has its own. */
export class CipherState {
  readonly #aead: Aead
  readonly #rekeyEvery: number
  readonly #nonce = Buffer.alloc(NONCE_BYTES)
  #key: Uint8Array
  #counter = 0

  constructor(key: Uint8Array, aead: Aead = native, rekeyEvery = REKEY_RECORDS) {
    this.#key = key
    this.#aead = aead
    this.#rekeyEvery = rekeyEvery
  }

  /** As {@link Aead.seal}, under the next nonce. */
  seal(associated: Uint8Array, parts: ReadonlyArray<Uint8Array>, out: Uint8Array, offset: number): number {
    writeCounter(this.#nonce, this.#counter)
    const end = this.#aead.seal(this.#key, this.#nonce, associated, parts, out, offset)
    this.#advance()
    return end
  }

  /** As {@link Aead.open}, under the next nonce, which stays the next after a failure. */
  open(associated: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    writeCounter(this.#nonce, this.#counter)
    const plaintext = this.#aead.open(this.#key, this.#nonce, associated, sealed)
    if (plaintext !== undefined) this.#advance()
    return plaintext
  }

  #advance() {
    this.#counter++
    if (this.#counter % this.#rekeyEvery === 0) this.#key = rekey(this.#aead, this.#key)
  }
}
