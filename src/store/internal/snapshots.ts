/** Snapshots with some of their entries exchanged, however many the others are. */
import {
  grantsOn,
  holdsToken,
  identityOf,
  isAnothers,
  machinePermissions,
  machinesOf,
  makeSnapshot,
  withVersion
} from "../../policy/Identity.ts"
import type { MachineGrants, MachinePermission, Snapshot, StoredIdentity } from "../../policy/Identity.ts"
import * as PersistentMap from "../../policy/PersistentMap.ts"
import { holds, isEmpty } from "../../policy/SnapshotEdit.ts"

/** Entries by id and by machine; undefined for an identity that goes. */
export interface Exchange {
  readonly revision: number
  readonly identities: ReadonlyMap<string, StoredIdentity | undefined>
  readonly machines: ReadonlyMap<string, MachineGrants>
}

/** Nobody, and nothing granted. */
export const empty: Snapshot = makeSnapshot(0, [], [])

const eachHolder = (on: MachineGrants, use: (id: string) => void): void => {
  for (const permission of machinePermissions) on[permission].forEach((_, id) => use(id))
}

const withoutHolder = (on: MachineGrants, id: string): MachineGrants => {
  const of = (permission: MachinePermission) => new Map([...on[permission]].filter(([holder]) => holder !== id))
  return { register: of("register"), connect: of("connect"), manage: of("manage") }
}

/** Everything granted on the machines on which some identities hold something, without what these hold. */
export const machinesWithout = (snapshot: Snapshot, ids: Iterable<string>): ReadonlyMap<string, MachineGrants> => {
  const machines = new Map<string, MachineGrants>()
  for (const id of ids) {
    for (const machine of machinesOf(snapshot, id)) {
      const on = machines.get(machine) ?? grantsOn(snapshot, machine)
      if (on !== undefined) machines.set(machine, withoutHolder(on, id))
    }
  }
  return machines
}

/** A new snapshot of a revision, with what is exchanged. */
export const apply = (snapshot: Snapshot, { identities, machines, revision }: Exchange): Snapshot => {
  const byId = PersistentMap.draft(snapshot.identities)
  const byTokenHash = PersistentMap.draft(snapshot.byTokenHash)
  for (const [id] of identities) {
    const before = identityOf(snapshot, id)
    // Somebody else may have the token meanwhile.
    if (before !== undefined && holdsToken(snapshot, before)) byTokenHash.remove(before.tokenHash)
  }
  for (const [id, identity] of identities) {
    if (identity === undefined) byId.remove(id)
    else {
      byId.set(id, withVersion(identity))
      // A token that was another's all along stays that one's.
      const { tokenHash } = identity
      if (!isAnothers(snapshot, tokenHash, identityOf(snapshot, id))) byTokenHash.set(tokenHash, id)
    }
  }
  const everybody = byId.done()
  for (const [id] of identities) {
    const tokenHash = identityOf(snapshot, id)?.tokenHash
    if (tokenHash === undefined || byTokenHash.get(tokenHash) !== undefined) continue
    if (byTokenHash.size() === everybody.size) break
    // Another one to whom the file gives the same token has it now, as after a restart.
    const next = PersistentMap.values(everybody).find((each) => each.tokenHash === tokenHash)
    if (next !== undefined) byTokenHash.set(tokenHash, next.id)
  }
  const onMachines = PersistentMap.draft(snapshot.machines)
  const changedOf = new Map<string, Set<string>>()
  const machinesOf = (id: string): Set<string> => {
    const known = changedOf.get(id)
    if (known !== undefined) return known
    const names = new Set(PersistentMap.get(snapshot.machinesOf, id))
    changedOf.set(id, names)
    return names
  }
  for (const [machine, on] of machines) {
    const before = grantsOn(snapshot, machine)
    if (isEmpty(on)) onMachines.remove(machine)
    else onMachines.set(machine, on)
    if (before !== undefined) {
      eachHolder(before, (id) => {
        if (!holds(on, id)) machinesOf(id).delete(machine)
      })
    }
    eachHolder(on, (id) => {
      if (before === undefined || !holds(before, id)) machinesOf(id).add(machine)
    })
  }
  const ofIds = PersistentMap.draft(snapshot.machinesOf)
  for (const [id, names] of changedOf) {
    if (names.size === 0) ofIds.remove(id)
    else ofIds.set(id, names)
  }
  return {
    revision,
    identities: everybody,
    byTokenHash: byTokenHash.done(),
    machines: onMachines.done(),
    machinesOf: ofIds.done()
  }
}
