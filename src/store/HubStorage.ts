/**
 * What a hub keeps, beside its file: what happened and the pairing codes in telahubd.db, and the key of its digests in
 * telahubd.key. A file of another name has a database and a key of that name.
 */
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Snapshot } from "../policy/Identity.ts"
import type { Audit } from "./Audit.ts"
import * as AuditMemory from "./AuditMemory.ts"
import * as AuditSql from "./AuditSql.ts"
import * as Database from "./Database.ts"
import * as IdentityStore from "./IdentityStore.ts"
import * as KeyFile from "./KeyFile.ts"
import type { PairCodes } from "./PairCodes.ts"
import * as PairCodesMemory from "./PairCodesMemory.ts"
import * as PairCodesSql from "./PairCodesSql.ts"

/** The database beside a hub's file. */
export const databaseFile = (hubFile: string): string => `${hubFile.replace(/\.ya?ml$/, "")}.db`

/** The hub's key, beside its file. */
export const keyFile = (hubFile: string): string => Path.join(Path.dirname(hubFile), `${Path.parse(hubFile).name}.key`)

/** The record and the pairing codes beside a hub's file. */
export const layer = (options: {
  /** telahubd.yaml. */
  readonly path: string
}): Layer.Layer<Audit | PairCodes, Database.DatabaseError | KeyFile.KeyFileError> => {
  const pairCodes = Layer.unwrapEffect(
    Effect.map(KeyFile.loadOrCreateSecret(keyFile(options.path)), PairCodesSql.layer)
  )
  return Layer.provide(Layer.merge(AuditSql.layer, pairCodes), Database.layer(databaseFile(options.path)))
}

/** Everything in memory, beginning with the identities and grants of a snapshot. */
export const layerMemory = (snapshot: Snapshot): Layer.Layer<IdentityStore.IdentityStore | Audit | PairCodes> =>
  Layer.mergeAll(IdentityStore.layerMemory(snapshot), AuditMemory.layer, PairCodesMemory.layer)
