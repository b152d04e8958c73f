/**
 * What the `auth:` block of a file means when nothing is in force yet. An entry that does not fit its digest was edited by
 * hand while nobody looked, and has a new version. Pure.
 */
import { following } from "../policy/Change.ts"
import { grantsOf, identityOf } from "../policy/Identity.ts"
import type { MachineGrants, StoredIdentity } from "../policy/Identity.ts"
import { digestOf } from "./AuthLine.ts"
import type { WrittenIdentity } from "./AuthLine.ts"
import type { Merged } from "./AuthMerge.ts"
import type { Reading } from "./HubReader.ts"
import type { OutsideChange } from "./IdentityStore.ts"
import * as Snapshots from "./internal/snapshots.ts"

const withoutDigest = (written: WrittenIdentity): StoredIdentity => {
  if (written.digest === undefined) return written
  const { digest: _, ...identity } = written
  return identity
}

/** Reads a file as the first thing that is known. */
export const begin = (path: string, reading: Reading): Merged => {
  const { revision } = reading.text
  const identities = new Map<string, StoredIdentity>()
  const bare: Array<string> = []
  for (const [id, { value }] of reading.identities) {
    identities.set(id, withoutDigest(value))
    if (value.version === undefined) bare.push(id)
  }
  const machines = new Map<string, MachineGrants>()
  for (const [machine, { value }] of reading.machines) machines.set(machine, value)
  const said = Snapshots.apply(Snapshots.empty, { revision, identities, machines })

  const edited = new Map<string, StoredIdentity>()
  const changes: Array<OutsideChange> = []
  for (const [id, { line, value }] of reading.identities) {
    const identity = identityOf(said, id)
    if (value.version === undefined || identity === undefined) continue
    if (value.digest === digestOf(identity, grantsOf(said, id))) continue
    edited.set(id, { ...identity, version: following(identity.version) })
    changes.push({ id, how: "hand", text: `${path}:${line}: ${id} was edited by hand` })
  }
  return {
    snapshot: Snapshots.apply(said, { revision, identities: edited, machines: new Map() }),
    changes,
    bare,
    identities: new Set([...reading.oddIdentities, ...edited.keys()]),
    machines: new Set(reading.oddMachines)
  }
}
