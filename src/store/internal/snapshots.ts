/** Snapshots with some of their entries exchanged, however many the others are. */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import { grantsOn, machinePermissions, machinesOf, makeSnapshot } from "../../policy/Identity.ts"
import type { MachineGrants, MachinePermission, Snapshot, StoredIdentity } from "../../policy/Identity.ts"
import { holds, isEmpty } from "../../policy/SnapshotEdit.ts"

/** Entries by id and by machine; undefined for an identity that goes. */
export interface Exchange {
  readonly revision: number
  readonly identities: ReadonlyMap<string, StoredIdentity | undefined>
  readonly machines: ReadonlyMap<string, MachineGrants>
}

/** Nobody, and nothing granted. */
export const empty: Snapshot = makeSnapshot(0, [], [])

const idsOn = (on: MachineGrants | undefined): ReadonlyArray<string> =>
  on === undefined ? [] : machinePermissions.flatMap((permission) => [...on[permission].keys()])

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
  const byId = HashMap.beginMutation(snapshot.identities)
  const byTokenHash = HashMap.beginMutation(snapshot.byTokenHash)
  for (const [id] of identities) {
    const before = Option.getOrUndefined(HashMap.get(snapshot.identities, id))
    if (before === undefined) continue
    // Somebody else may have the token meanwhile.
    if (Option.contains(HashMap.get(snapshot.byTokenHash, before.tokenHash), id)) {
      HashMap.remove(byTokenHash, before.tokenHash)
    }
  }
  for (const [id, identity] of identities) {
    if (identity === undefined) HashMap.remove(byId, id)
    else {
      HashMap.set(byId, id, { ...identity, version: identity.version ?? 1 })
      HashMap.set(byTokenHash, identity.tokenHash, id)
    }
  }
  for (const [id] of identities) {
    const { tokenHash } = Option.getOrUndefined(HashMap.get(snapshot.identities, id)) ?? {}
    if (tokenHash === undefined || HashMap.has(byTokenHash, tokenHash)) continue
    if (HashMap.size(byTokenHash) === HashMap.size(byId)) break
    // Another one to whom the file gives the same token has it now, as after a restart.
    const next = HashMap.findFirst(byId, (each) => each.tokenHash === tokenHash)
    if (Option.isSome(next)) HashMap.set(byTokenHash, tokenHash, next.value[0])
  }
  const onMachines = HashMap.beginMutation(snapshot.machines)
  const changedOf = new Map<string, Set<string>>()
  const machinesOf = (id: string): Set<string> => {
    const names = changedOf.get(id) ?? new Set(Option.getOrElse(HashMap.get(snapshot.machinesOf, id), () => []))
    changedOf.set(id, names)
    return names
  }
  for (const [machine, on] of machines) {
    const before = Option.getOrUndefined(HashMap.get(snapshot.machines, machine))
    if (isEmpty(on)) HashMap.remove(onMachines, machine)
    else HashMap.set(onMachines, machine, on)
    for (const id of idsOn(before)) if (!holds(on, id)) machinesOf(id).delete(machine)
    for (const id of idsOn(on)) if (before === undefined || !holds(before, id)) machinesOf(id).add(machine)
  }
  const ofIds = HashMap.beginMutation(snapshot.machinesOf)
  for (const [id, names] of changedOf) {
    if (names.size === 0) HashMap.remove(ofIds, id)
    else HashMap.set<string, ReadonlySet<string>>(ofIds, id, names)
  }
  return {
    revision,
    identities: HashMap.endMutation(byId),
    byTokenHash: HashMap.endMutation(byTokenHash),
    machines: HashMap.endMutation(onMachines),
    machinesOf: HashMap.endMutation(ofIds)
  }
}
