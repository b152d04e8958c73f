/**
 * The hub's own key, for digests that nobody else can check. Where none is kept, each program has one for its lifetime:
 * what was made under it says nothing to the next.
 */
import * as Crypto from "node:crypto"
import * as Context from "effect/Context"
import * as Redacted from "effect/Redacted"
import { KEY_BYTES } from "../crypto/KeyPair.ts"

export class HubKey extends Context.Reference<HubKey>()("tela/store/HubKey", {
  defaultValue: (): Redacted.Redacted<Uint8Array> => Redacted.make<Uint8Array>(Crypto.randomBytes(KEY_BYTES))
}) {}
