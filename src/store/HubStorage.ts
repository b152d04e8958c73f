/**
 * What a hub keeps, beside its file: what happened, the pairing codes and the machines last seen in telahubd.db, and the
 * key of its digests in telahubd.key. A file of another name has a database and a key of that name.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Snapshot } from "../policy/Identity.ts"
import type { Audit } from "./Audit.ts"
import * as AuditMemory from "./AuditMemory.ts"
import * as AuditSql from "./AuditSql.ts"
import * as Database from "./Database.ts"
import { HubKey } from "./HubKey.ts"
import * as IdentityStore from "./IdentityStore.ts"
import * as KeyFile from "./KeyFile.ts"
import type { Machines } from "./Machines.ts"
import * as MachinesMemory from "./MachinesMemory.ts"
import * as MachinesSql from "./MachinesSql.ts"
import type { PairCodes } from "./PairCodes.ts"
import * as PairCodesMemory from "./PairCodesMemory.ts"
import * as PairCodesSql from "./PairCodesSql.ts"

/** The database beside a hub's file. */
export const databaseFile = (hubFile: string): string => `${hubFile.replace(/\.ya?ml$/, "")}.db`

/** The hub's key, beside its file. */
export const keyFile = (hubFile: string): string => Path.join(Path.dirname(hubFile), `${Path.parse(hubFile).name}.key`)

/** The file that a link leads to: beside it is what belongs to it, whichever way it is called. */
const beside = <A, E>(path: string, layer: (file: string) => Layer.Layer<A, E>): Layer.Layer<A, E> =>
  Layer.unwrapEffect(
    Effect.map(
      Effect.promise(() => Fs.realpath(path).catch(() => path)),
      layer
    )
  )

/** The record beside a hub's file. */
export const layerRecord = (path: string): Layer.Layer<Audit, Database.DatabaseError> =>
  beside(path, (file) => Layer.provide(AuditSql.layer, Database.layer(databaseFile(file))))

/** The record, the pairing codes, the machines last seen and the key, beside a hub's file. */
export const layer = (options: {
  /** telahubd.yaml. */
  readonly path: string
}): Layer.Layer<Audit | PairCodes | Machines | HubKey, Database.DatabaseError | KeyFile.KeyFileError> =>
  beside(options.path, (file) => {
    const keyed = Layer.unwrapEffect(
      Effect.map(KeyFile.loadOrCreateSecret(keyFile(file)), (key) =>
        Layer.merge(PairCodesSql.layer(key), Layer.succeed(HubKey, key))
      )
    )
    return Layer.provide(Layer.mergeAll(AuditSql.layer, keyed, MachinesSql.layer), Database.layer(databaseFile(file)))
  })

/** Everything in memory, beginning with the identities and grants of a snapshot. */
export const layerMemory = (
  snapshot: Snapshot
): Layer.Layer<IdentityStore.IdentityStore | Audit | PairCodes | Machines> =>
  Layer.mergeAll(IdentityStore.layerMemory(snapshot), AuditMemory.layer, PairCodesMemory.layer, MachinesMemory.layer)
