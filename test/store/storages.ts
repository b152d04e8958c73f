/** The record and the pairing codes, wherever they are kept: what is tested of one is tested of both. */
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Audit } from "../../src/store/Audit.ts"
import * as AuditMemory from "../../src/store/AuditMemory.ts"
import * as HubStorage from "../../src/store/HubStorage.ts"
import type { PairCodes } from "../../src/store/PairCodes.ts"
import * as PairCodesMemory from "../../src/store/PairCodesMemory.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

type Storage = Layer.Layer<Audit | PairCodes>

/** What is beside the hub's file in a folder. */
export const inFolder = (folder: string): Storage =>
  Layer.orDie(HubStorage.layer({ path: Path.join(folder, "telahubd.yaml") }))

export const storages: ReadonlyArray<readonly [string, Storage]> = [
  ["in memory", Layer.merge(AuditMemory.layer, PairCodesMemory.layer)],
  ["in SQLite", Layer.unwrapScoped(Effect.map(temporaryFolder, inFolder))]
]
