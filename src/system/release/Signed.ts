/**
 * Signed manifests: bytes, and an Ed25519 signature over exactly these. Nothing of the bytes is looked at before the
 * signature has been checked, so that whoever cannot sign reaches no parser.
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import * as Ed25519 from "../../crypto/Ed25519.ts"
import * as Manifest from "./Manifest.ts"

/** Bytes and the signature that came with them, from wherever; nobody has looked at either. */
export interface Signed {
  readonly bytes: Uint8Array
  readonly signature: Uint8Array
}

/** A manifest that was signed with the key it has to be signed with. */
export interface Verified {
  readonly manifest: Manifest.Manifest
  readonly signed: Signed
}

/** It is not signed, was changed, or is signed with another key; or it is signed and makes no sense. */
export class NotTrusted extends Data.TaggedError("NotTrusted")<{
  readonly kind: "signature" | "content"
  /** The end of a sentence. */
  readonly message: string
}> {}

/** Reads a manifest, after its signature. */
export const verify = (signed: Signed, key: Ed25519.PublicKey): Either.Either<Verified, NotTrusted> => {
  const { bytes, signature } = signed
  if (!Ed25519.verify(key, bytes, signature)) {
    const message = `is not signed with the key of this release (${key.fingerprint}); nothing of it is used`
    return Either.left(new NotTrusted({ kind: "signature", message }))
  }
  return Either.mapBoth(Manifest.read(bytes), {
    onLeft: (message) => new NotTrusted({ kind: "content", message }),
    onRight: (manifest) => ({ manifest, signed })
  })
}

/** Signs a manifest. */
export const sign = (manifest: Manifest.Manifest, key: Ed25519.PrivateKey): Signed => {
  const bytes = Manifest.write(manifest)
  return { bytes, signature: Ed25519.sign(key, bytes) }
}

/**
 * Both in one piece, so that a file of them is replaced as a whole: the signature, then the bytes.
 */
export const join = ({ bytes, signature }: Signed): Uint8Array => Buffer.concat([signature, bytes])

/** Takes such a piece apart; undefined when it is too short to be one. */
export const split = (piece: Uint8Array): Signed | undefined =>
  piece.length <= Ed25519.SIGNATURE_BYTES
    ? undefined
    : { signature: piece.subarray(0, Ed25519.SIGNATURE_BYTES), bytes: piece.subarray(Ed25519.SIGNATURE_BYTES) }
