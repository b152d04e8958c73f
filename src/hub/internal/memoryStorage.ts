/** What a hub keeps, in memory only; stands in until the store has its own. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Snapshot } from "../../policy/Identity.ts"
import { Audit } from "../../store/Audit.ts"
import type { AuditEvent, AuditRecord } from "../../store/Audit.ts"
import { IdentityStore, layerMemory } from "../../store/IdentityStore.ts"
import { PairCodes } from "../../store/PairCodes.ts"

const audit: Layer.Layer<Audit> = Layer.sync(Audit, () => {
  const records: Array<AuditRecord> = []
  const versions = new Map<string, number>()
  let last = 0
  const keep = (event: AuditEvent) => void records.push({ ...event, sequence: records.length + 1, at: Date.now() })
  return {
    record: (events, revision = last) =>
      Effect.sync(() => {
        last = revision
        for (const event of events) keep(event)
      }),
    note: keep,
    renamed: () => Effect.void,
    list: ({ limit }) => Effect.sync(() => records.toReversed().slice(0, limit)),
    revision: Effect.sync(() => last),
    lastVersion: (id) => versions.get(id) ?? 0,
    rememberVersion: (id, version) => Effect.sync(() => void versions.set(id, version))
  }
})

const pairCodes: Layer.Layer<PairCodes> = Layer.sync(PairCodes, () => ({
  add: (_code, about) => Effect.succeed({ ...about, id: "1" }),
  list: () => Effect.succeed([]),
  find: () => Effect.succeed(undefined),
  spend: () => Effect.succeed(false),
  giveBack: () => Effect.void,
  cancel: () => Effect.succeed(false),
  count: () => Effect.succeed(0)
}))

/** Identities and grants of a snapshot, and a record and codes that begin empty. */
export const layer = (snapshot: Snapshot): Layer.Layer<IdentityStore | Audit | PairCodes> =>
  Layer.mergeAll(layerMemory(snapshot), audit, pairCodes)
