/**
 * Ed25519 signatures (RFC 8032), in the forms that OpenSSL reads and writes: keys as PEM, signatures as 64 bytes. A public
 * key in files of ours is the one line of its PEM: the base64 of its SubjectPublicKeyInfo.
 */
import * as Crypto from "node:crypto"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"

/** A public key, which makes sure of signatures. */
export interface PublicKey {
  /** The one line of its PEM, 60 characters. */
  readonly text: string
  /** What people compare: `SHA256:` and the unpadded base64 of the digest of its 32 bytes. */
  readonly fingerprint: string
  readonly key: Crypto.KeyObject
}

/** A private key, which signs. */
export interface PrivateKey {
  readonly publicKey: PublicKey
  readonly key: Redacted.Redacted<Crypto.KeyObject>
}

export const SIGNATURE_BYTES = 64

/** DER of a SubjectPublicKeyInfo before its 32 bytes of key (RFC 8410). */
const spkiPrefix = Buffer.from("302a300506032b6570032100", "hex")
const KEY_BYTES = 32

const publicOf = (key: Crypto.KeyObject): PublicKey => {
  const der = key.export({ type: "spki", format: "der" })
  const digest = Crypto.createHash("sha256").update(der.subarray(spkiPrefix.length)).digest("base64")
  return { text: der.toString("base64"), fingerprint: `SHA256:${digest.replace(/=+$/, "")}`, key }
}

/** Reads a public key: the one line, or the whole PEM. The other side is the end of a sentence. */
export const parsePublic = (text: string): Either.Either<PublicKey, string> => {
  const line = text.replace(/-----(BEGIN|END) PUBLIC KEY-----/g, "").replace(/\s+/g, "")
  const der = Buffer.from(line, "base64")
  const isKey =
    der.length === spkiPrefix.length + KEY_BYTES &&
    der.subarray(0, spkiPrefix.length).equals(spkiPrefix) &&
    der.toString("base64") === line
  if (!isKey) return Either.left("is no Ed25519 public key; write the line between BEGIN and END of its PEM file")
  return Either.try({
    try: () => publicOf(Crypto.createPublicKey({ key: der, format: "der", type: "spki" })),
    catch: () => "is no Ed25519 public key that can be used"
  })
}

/** The PEM of a public key, as OpenSSL reads it. */
export const publicPem = ({ text }: PublicKey): string =>
  `-----BEGIN PUBLIC KEY-----\n${text}\n-----END PUBLIC KEY-----\n`

/** A fresh key. */
export const generate = (): PrivateKey => {
  const { privateKey, publicKey } = Crypto.generateKeyPairSync("ed25519")
  return { publicKey: publicOf(publicKey), key: Redacted.make(privateKey) }
}

/** The PEM of a private key (PKCS #8), for storing. */
export const privatePem = ({ key }: PrivateKey): Redacted.Redacted =>
  Redacted.make(Redacted.value(key).export({ type: "pkcs8", format: "pem" }).toString())

/** Reads the PEM of a private key. The other side is the end of a sentence, and never holds what was read. */
export const parsePrivate = (pem: Redacted.Redacted): Either.Either<PrivateKey, string> =>
  Either.try({
    try: () => Crypto.createPrivateKey(Redacted.value(pem)),
    catch: () => "is no private key in PEM"
  }).pipe(
    Either.filterOrLeft(
      (key) => key.asymmetricKeyType === "ed25519",
      () => "is no Ed25519 key"
    ),
    Either.map((key) => ({ publicKey: publicOf(Crypto.createPublicKey(key)), key: Redacted.make(key) }))
  )

/** The signature over exactly these bytes. */
export const sign = ({ key }: PrivateKey, bytes: Uint8Array): Uint8Array =>
  Crypto.sign(null, bytes, Redacted.value(key))

/** Whether a signature over exactly these bytes was made with the private half of the key. */
export const verify = ({ key }: PublicKey, bytes: Uint8Array, signature: Uint8Array): boolean =>
  signature.length === SIGNATURE_BYTES && Crypto.verify(null, bytes, key, signature)
