/** Snapshots with one thing changed. Knows no rules: those are {@link file://./Change.ts}'s. */
import {
  grantsOf,
  grantsOn,
  holdsToken,
  isAnothers,
  machinePermissions,
  machinesOf,
  noGrants,
  nobody
} from "./Identity.ts"
import type { Grant, GrantEntry, Identity, MachineGrants, MachinePermission, Snapshot } from "./Identity.ts"
import * as PersistentMap from "./PersistentMap.ts"

/** What one identity holds on one machine; a permission that is absent is not held. */
export type Held = Partial<Record<MachinePermission, ReadonlyArray<Grant>>>

/** One machine's grants with those of one identity replaced. */
const withGrants = (on: MachineGrants, id: string, held: Held): MachineGrants => {
  const made: Record<MachinePermission, ReadonlyMap<string, ReadonlyArray<Grant>>> = { ...on }
  for (const permission of machinePermissions) {
    const grants = held[permission]
    if (grants === undefined && !on[permission].has(id)) continue
    const of = new Map(on[permission])
    if (grants === undefined) of.delete(id)
    else of.set(id, grants)
    made[permission] = of.size === 0 ? nobody : of
  }
  return made
}

/** Whether nobody holds anything on a machine. */
export const isEmpty = (on: MachineGrants): boolean =>
  machinePermissions.every((permission) => on[permission].size === 0)

/** Whether an identity holds anything on a machine. */
export const holds = (on: MachineGrants, id: string): boolean =>
  machinePermissions.some((permission) => on[permission].has(id))

/** Replaces everything an identity holds on one machine. */
export const setGrants = (snapshot: Snapshot, id: string, machine: string, held: Held): Snapshot => {
  const on = withGrants(grantsOn(snapshot, machine) ?? noGrants, id, held)
  const machines = new Set(machinesOf(snapshot, id))
  if (holds(on, id)) machines.add(machine)
  else machines.delete(machine)
  return {
    ...snapshot,
    machines: isEmpty(on)
      ? PersistentMap.remove(snapshot.machines, machine)
      : PersistentMap.set(snapshot.machines, machine, on),
    machinesOf:
      machines.size === 0
        ? PersistentMap.remove(snapshot.machinesOf, id)
        : PersistentMap.set<ReadonlySet<string>>(snapshot.machinesOf, id, machines)
  }
}

/** The index of tokens without the one that an identity holds. */
const withoutToken = (snapshot: Snapshot, identity: Identity) =>
  holdsToken(snapshot, identity) ? PersistentMap.remove(snapshot.byTokenHash, identity.tokenHash) : snapshot.byTokenHash

/** An identity, in place of what it was before. A token that was another's stays that one's. */
export const putIdentity = (snapshot: Snapshot, identity: Identity, before: Identity | undefined): Snapshot => {
  const { id, tokenHash } = identity
  const tokens = before === undefined ? snapshot.byTokenHash : withoutToken(snapshot, before)
  return {
    ...snapshot,
    identities: PersistentMap.set(snapshot.identities, id, identity),
    byTokenHash: isAnothers(snapshot, tokenHash, before) ? tokens : PersistentMap.set(tokens, tokenHash, id)
  }
}

const dropGrants = (snapshot: Snapshot, id: string): Snapshot =>
  machinesOf(snapshot, id).reduce((kept, machine) => setGrants(kept, id, machine, {}), snapshot)

/** Without an identity, and all that it holds. */
export const dropIdentity = (snapshot: Snapshot, identity: Identity): Snapshot => ({
  ...dropGrants(snapshot, identity.id),
  identities: PersistentMap.remove(snapshot.identities, identity.id),
  byTokenHash: withoutToken(snapshot, identity)
})

/** The grants of one machine as a map by permission. */
export const byPermission = (grants: ReadonlyArray<GrantEntry>, id: string): Held => {
  const held: Partial<Record<MachinePermission, Array<Grant>>> = {}
  for (const { expiresAt, permission, services } of grants) {
    const grant: Grant = {
      id,
      ...(services !== undefined && { services }),
      ...(expiresAt !== undefined && { expiresAt })
    }
    ;(held[permission] ??= []).push(grant)
  }
  return held
}

/** An identity under the name it is to have, with all that it holds; what a person left under that name goes. */
export const rename = (snapshot: Snapshot, from: Identity, to: Identity): Snapshot => {
  const held = grantsOf(snapshot, from.id)
  const machines = machinesOf(snapshot, from.id)
  const without = dropGrants(dropGrants(snapshot, from.id), to.id)
  const renamed = machines.reduce(
    (made, machine) =>
      setGrants(
        made,
        to.id,
        machine,
        byPermission(
          held.filter((grant) => grant.machine === machine),
          to.id
        )
      ),
    without
  )
  const put = putIdentity(renamed, to, from)
  return { ...put, identities: PersistentMap.remove(put.identities, from.id) }
}

/** What an identity holds on one machine. */
export const grantsOnMachine = (snapshot: Snapshot, id: string, machine: string): ReadonlyArray<GrantEntry> =>
  grantsOf(snapshot, id).filter((grant) => grant.machine === machine)
