/**
 * X25519 keys (RFC 7748): the long-term identities of agents and clients, and the fresh keys of a session. Public keys
 * travel as 64 hex characters; people compare fingerprints.
 */
import * as Crypto from "node:crypto"
import * as Redacted from "effect/Redacted"

/** A public key as it travels in control messages: 64 lower-case hex characters. */
export type PublicKeyHex = string

/** A key pair. The private half never leaves {@link diffieHellman}, but for {@link secretOf} when it is stored. */
export interface KeyPair {
  readonly publicKey: Uint8Array
  readonly publicHex: PublicKeyHex
  readonly privateKey: Redacted.Redacted<Crypto.KeyObject>
}

export const KEY_BYTES = 32

/** DER prefixes of an X25519 key: SubjectPublicKeyInfo and PKCS #8 (RFC 8410). */
const spkiPrefix = Buffer.from("302a300506032b656e032100", "hex")
const pkcs8Prefix = Buffer.from("302e020100300506032b656e04220420", "hex")

const fromPrivate = (privateKey: Crypto.KeyObject): KeyPair => {
  const spki = Crypto.createPublicKey(privateKey).export({ type: "spki", format: "der" })
  const publicKey = spki.subarray(spkiPrefix.length)
  return { publicKey, publicHex: publicKey.toString("hex"), privateKey: Redacted.make(privateKey) }
}

/** A fresh key pair. */
export const generate = (): KeyPair => fromPrivate(Crypto.generateKeyPairSync("x25519").privateKey)

/** The key pair of 32 secret bytes, as stored or as in a test vector. */
export const fromSecret = (secret: Uint8Array): KeyPair =>
  fromPrivate(Crypto.createPrivateKey({ key: Buffer.concat([pkcs8Prefix, secret]), format: "der", type: "pkcs8" }))

/** The 32 secret bytes, for storing. */
export const secretOf = (keys: KeyPair): Redacted.Redacted<Uint8Array> =>
  Redacted.make(Redacted.value(keys.privateKey).export({ type: "pkcs8", format: "der" }).subarray(pkcs8Prefix.length))

/**
 * The shared secret of our private and their public key. Throws on a public key of small order, whose secret would be
 * zero (RFC 7748, section 6.1; OpenSSL checks).
 */
export const diffieHellman = (ours: KeyPair, theirs: Uint8Array): Uint8Array =>
  Crypto.diffieHellman({
    privateKey: Redacted.value(ours.privateKey),
    publicKey: Crypto.createPublicKey({ key: Buffer.concat([spkiPrefix, theirs]), format: "der", type: "spki" })
  })

/** What people compare and pins hold: `SHA256:` and the unpadded base64 of the public key's digest, as ssh prints it. */
export const fingerprint = (publicKey: Uint8Array): string =>
  `SHA256:${Crypto.createHash("sha256").update(publicKey).digest("base64").replace(/=+$/, "")}`

/** The fingerprint of a public key in hex. */
export const fingerprintOfHex = (publicHex: PublicKeyHex): string => fingerprint(Buffer.from(publicHex, "hex"))

/** Whether a text is a fingerprint as people write it. */
export const isFingerprint = (text: string): boolean => /^SHA256:[A-Za-z0-9+/]{43}$/.test(text)
