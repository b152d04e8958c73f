/**
 * What the `auth:` block of a file means when nothing is in force yet. An entry that does not fit its digest was edited by
 * hand while nobody looked, and has a new version. Pure.
 */
import { following } from "../policy/Change.ts"
import { machinePermissions, makeSnapshot } from "../policy/Identity.ts"
import type { GrantEntry, StoredIdentity } from "../policy/Identity.ts"
import { digestOf } from "./AuthLine.ts"
import type { Merged } from "./AuthMerge.ts"
import type { Reading } from "./HubReader.ts"
import type { OutsideChange } from "./IdentityStore.ts"

/** All grants by identity, in the order in which digests have them. */
const grantsById = ({ machines }: Reading): ReadonlyMap<string, ReadonlyArray<GrantEntry>> => {
  const byId = new Map<string, Array<GrantEntry>>()
  for (const machine of [...machines.keys()].sort()) {
    for (const permission of machinePermissions) {
      for (const [id, grants] of machines.get(machine)?.value[permission] ?? []) {
        const held = byId.get(id) ?? []
        if (held.length === 0) byId.set(id, held)
        for (const grant of grants) held.push({ machine, permission, ...grant })
      }
    }
  }
  return byId
}

/** Reads a file as the first thing that is known. */
export const begin = (path: string, reading: Reading): Merged => {
  const grants = grantsById(reading)
  const identities: Array<StoredIdentity> = []
  const edited = new Set<string>()
  const bare: Array<string> = []
  const changes: Array<OutsideChange> = []
  for (const [id, { line, value }] of reading.identities) {
    const { digest, version, ...members } = value
    if (version === undefined) {
      identities.push(members)
      bare.push(id)
      continue
    }
    const fits = digest !== undefined && digest === digestOf({ ...members, version }, grants.get(id) ?? [])
    identities.push({ ...members, version: fits ? version : following(version) })
    if (fits) continue
    edited.add(id)
    changes.push({ id, how: "hand", text: `${path}:${line}: ${id} was edited by hand` })
  }
  return {
    snapshot: makeSnapshot(reading.text.revision, identities, [...grants.values()].flat()),
    changes,
    bare,
    identities: new Set([...reading.oddIdentities, ...edited]),
    machines: new Set(reading.oddMachines)
  }
}
