/**
 * Noise_IK_25519_ChaChaPoly_SHA256 (The Noise Protocol Framework, revision 34): the initiator knows the responder's static
 * key, both prove theirs, and the messages carry payloads.
 *
 * ```
 * <- s
 * ...
 * -> e, es, s, ss, payload
 * <- e, ee, se, payload
 * ```
 *
 * The first payload is open to replay and to key-compromise impersonation (section 7.7): act on nothing until the
 * initiator's first transport message opens.
 */
import * as Crypto from "node:crypto"
import { type Aead, NONCE_BYTES, native, TAG_BYTES } from "./Aead.ts"
import { CipherState } from "./CipherState.ts"
import { diffieHellman, generate, KEY_BYTES, type KeyPair } from "./KeyPair.ts"

/** Exactly HASHLEN bytes, so it is the first hash as it stands (section 5.2). */
const PROTOCOL_NAME = Buffer.from("Noise_IK_25519_ChaChaPoly_SHA256")

/** A message that does not authenticate, is cut short, or holds a bad key. Nothing was accepted of it. */
export class NoiseError extends Error {
  override readonly name = "NoiseError"
}

const sha256 = (...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const hash = Crypto.createHash("sha256")
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** HKDF with two outputs (section 4.3); its salt is the chaining key and its info empty. */
const hkdf2 = (chainingKey: Uint8Array, material: Uint8Array): readonly [Buffer, Buffer] => {
  const both = Buffer.from(Crypto.hkdfSync("sha256", material, chainingKey, new Uint8Array(0), 2 * KEY_BYTES))
  return [both.subarray(0, KEY_BYTES), both.subarray(KEY_BYTES)]
}

/** Section 5.2. */
class SymmetricState {
  hash: Buffer = PROTOCOL_NAME
  #chainingKey: Buffer = PROTOCOL_NAME
  #key: Uint8Array = new Uint8Array(0)
  #counter = 0
  readonly #aead: Aead

  constructor(aead: Aead) {
    this.#aead = aead
  }

  mixHash(data: Uint8Array) {
    this.hash = sha256(this.hash, data)
  }

  mixKey(material: Uint8Array) {
    const [chainingKey, key] = hkdf2(this.#chainingKey, material)
    this.#chainingKey = chainingKey
    this.#key = key
    this.#counter = 0
  }

  #nonce() {
    const nonce = Buffer.alloc(NONCE_BYTES)
    nonce.writeUInt32LE(this.#counter++, 4)
    return nonce
  }

  encryptAndHash(plaintext: Uint8Array): Buffer {
    const sealed = Buffer.alloc(plaintext.length + TAG_BYTES)
    this.#aead.seal(this.#key, this.#nonce(), this.hash, [plaintext], sealed, 0)
    this.mixHash(sealed)
    return sealed
  }

  decryptAndHash(sealed: Uint8Array): Uint8Array {
    const plaintext = this.#aead.open(this.#key, this.#nonce(), this.hash, sealed)
    if (plaintext === undefined) throw new NoiseError("handshake message is not authentic")
    this.mixHash(sealed)
    return plaintext
  }

  /** A secret of both sides under a label of its own, independent of the keys that {@link split} makes (RFC 5869). */
  export(label: string): Buffer {
    return Buffer.from(Crypto.hkdfSync("sha256", this.#chainingKey, new Uint8Array(0), label, KEY_BYTES))
  }

  split(): readonly [CipherState, CipherState] {
    const [first, second] = hkdf2(this.#chainingKey, new Uint8Array(0))
    return [new CipherState(first, this.#aead), new CipherState(second, this.#aead)]
  }
}

/** What a completed handshake leaves: one cipher for each direction, and the hash that names this handshake. */
export interface Transport {
  readonly send: CipherState
  readonly receive: CipherState
  /** The final handshake hash. Public: whoever saw the messages and the keys can compute it. */
  readonly hash: Uint8Array
  /**
   * 32 bytes that only the two sides can compute, from the final chaining key, under a label of their use. Nobody else
   * can, whatever they saw: unlike the hash, the chaining key has gone through every secret of the handshake.
   */
  readonly exportSecret: (label: string) => Uint8Array
}

interface Options {
  readonly prologue: Uint8Array
  readonly identity: KeyPair
  /** For test vectors only; fresh otherwise. */
  readonly ephemeral?: KeyPair
  readonly aead?: Aead
}

/** Cuts the next `count` bytes off a message. */
const reader = (message: Uint8Array) => {
  let at = 0
  return {
    take: (count: number): Uint8Array => {
      if (message.length - at < count) throw new NoiseError("handshake message is cut short")
      return message.subarray(at, (at += count))
    },
    rest: (): Uint8Array => message.subarray(at)
  }
}

const dh = (ours: KeyPair, theirs: Uint8Array): Uint8Array => {
  try {
    return diffieHellman(ours, theirs)
  } catch {
    throw new NoiseError("handshake message holds a bad key")
  }
}

const start = (options: Options, responder: Uint8Array) => {
  const symmetric = new SymmetricState(options.aead ?? native)
  symmetric.mixHash(options.prologue)
  symmetric.mixHash(responder)
  return symmetric
}

/** The side that knows whom it calls. */
export interface Initiator {
  /** The second message's payload, and the keys. Throws NoiseError. */
  readonly finish: (second: Uint8Array) => { readonly payload: Uint8Array; readonly transport: Transport }
  readonly first: Uint8Array
}

/** Writes the first message to the holder of `responder`. */
export const initiate = (options: Options, responder: Uint8Array, payload: Uint8Array): Initiator => {
  const { identity } = options
  const ephemeral = options.ephemeral ?? generate()
  const symmetric = start(options, responder)
  symmetric.mixHash(ephemeral.publicKey)
  symmetric.mixKey(dh(ephemeral, responder))
  const sealedIdentity = symmetric.encryptAndHash(identity.publicKey)
  symmetric.mixKey(dh(identity, responder))
  const sealedPayload = symmetric.encryptAndHash(payload)
  return {
    first: Buffer.concat([ephemeral.publicKey, sealedIdentity, sealedPayload]),
    finish: (second) => {
      const message = reader(second)
      const theirs = message.take(KEY_BYTES)
      symmetric.mixHash(theirs)
      symmetric.mixKey(dh(ephemeral, theirs))
      symmetric.mixKey(dh(identity, theirs))
      const answer = symmetric.decryptAndHash(message.rest())
      const [send, receive] = symmetric.split()
      const exportSecret = (label: string) => symmetric.export(label)
      return { payload: answer, transport: { send, receive, hash: symmetric.hash, exportSecret } }
    }
  }
}

/** The side that is called, after the first message: who claims to call, and how to answer. */
export interface Responder {
  readonly initiator: Uint8Array
  readonly payload: Uint8Array
  readonly answer: (payload: Uint8Array) => { readonly second: Uint8Array; readonly transport: Transport }
}

/** Reads the first message. Throws NoiseError. */
export const respond = (options: Options, first: Uint8Array): Responder => {
  const { identity } = options
  const symmetric = start(options, identity.publicKey)
  const message = reader(first)
  const theirs = message.take(KEY_BYTES)
  symmetric.mixHash(theirs)
  symmetric.mixKey(dh(identity, theirs))
  const initiator = symmetric.decryptAndHash(message.take(KEY_BYTES + TAG_BYTES))
  symmetric.mixKey(dh(identity, initiator))
  const payload = symmetric.decryptAndHash(message.rest())
  return {
    initiator,
    payload,
    answer: (reply) => {
      const ephemeral = options.ephemeral ?? generate()
      symmetric.mixHash(ephemeral.publicKey)
      symmetric.mixKey(dh(ephemeral, theirs))
      symmetric.mixKey(dh(ephemeral, initiator))
      const sealedPayload = symmetric.encryptAndHash(reply)
      const [receive, send] = symmetric.split()
      return {
        second: Buffer.concat([ephemeral.publicKey, sealedPayload]),
        transport: { send, receive, hash: symmetric.hash, exportSecret: (label) => symmetric.export(label) }
      }
    }
  }
}
