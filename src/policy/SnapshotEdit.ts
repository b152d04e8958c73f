/** Snapshots with one thing changed. Knows no rules: those are {@link file://./Change.ts}'s. */
import * as HashMap from "effect/HashMap"
import { grantsOf, grantsOn, machinePermissions, machinesOf, noGrants, nobody } from "./Identity.ts"
import type { Grant, GrantEntry, Identity, MachineGrants, MachinePermission, Snapshot } from "./Identity.ts"

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
    machines: isEmpty(on) ? HashMap.remove(snapshot.machines, machine) : HashMap.set(snapshot.machines, machine, on),
    machinesOf:
      machines.size === 0
        ? HashMap.remove(snapshot.machinesOf, id)
        : HashMap.set<string, ReadonlySet<string>>(snapshot.machinesOf, id, machines)
  }
}

/** An identity, in place of what it was before. */
export const putIdentity = (snapshot: Snapshot, identity: Identity, before: Identity | undefined): Snapshot => {
  const tokens =
    before === undefined || before.tokenHash === identity.tokenHash
      ? snapshot.byTokenHash
      : HashMap.remove(snapshot.byTokenHash, before.tokenHash)
  return {
    ...snapshot,
    identities: HashMap.set(snapshot.identities, identity.id, identity),
    byTokenHash: HashMap.set(tokens, identity.tokenHash, identity.id)
  }
}

const dropGrants = (snapshot: Snapshot, id: string): Snapshot =>
  machinesOf(snapshot, id).reduce((kept, machine) => setGrants(kept, id, machine, {}), snapshot)

/** Without an identity, and all that it holds. */
export const dropIdentity = (snapshot: Snapshot, { id, tokenHash }: Identity): Snapshot => ({
  ...dropGrants(snapshot, id),
  identities: HashMap.remove(snapshot.identities, id),
  byTokenHash: HashMap.remove(snapshot.byTokenHash, tokenHash)
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
  const without = dropGrants(dropIdentity(snapshot, from), to.id)
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
  return putIdentity(renamed, to, undefined)
}

/** What an identity holds on one machine. */
export const grantsOnMachine = (snapshot: Snapshot, id: string, machine: string): ReadonlyArray<GrantEntry> =>
  grantsOf(snapshot, id).filter((grant) => grant.machine === machine)
