/**
 * The proof that a new carrier belongs to a link that both ends still have (docs/protocol.md, "Resuming"): an HMAC over the
 * new handshake's hash, under a secret of the link's first handshake. A hub saw every message of both handshakes and can
 * compute their hashes, but not that secret.
 */
import { createHmac, timingSafeEqual } from "node:crypto"
import type { Transport } from "../crypto/Noise.ts"

/** Bytes of a proof. */
export const PROOF_BYTES = 32

const LABEL = "tela stream/1 resume"

export type Side = "client" | "agent"

/** The secret of a link, derived once, when its first handshake is done. */
export const secretOf = (transport: Transport): Uint8Array => transport.exportSecret(LABEL)

/** What `side` says in its first record on a new carrier. */
export const proof = (secret: Uint8Array, side: Side, transport: Transport): Buffer =>
  createHmac("sha256", secret).update(side).update(transport.hash).digest()

/** Whether a proof is that of `side`. */
export const verify = (secret: Uint8Array, side: Side, transport: Transport, shown: Uint8Array): boolean =>
  shown.length === PROOF_BYTES && timingSafeEqual(shown, proof(secret, side, transport))
