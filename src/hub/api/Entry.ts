/** Identities and their permissions as the API shows them (spec: hub-api 1.5, 1.8): what holds now, never a token. */
import * as Identities from "../../policy/Identity.ts"
import { ANY_MACHINE, grantsOn, machinePermissions, standing } from "../../policy/Identity.ts"
import type { Grant, Identity, MachinePermission, Snapshot } from "../../policy/Identity.ts"
import type { AccessEntry, MachineAccess } from "../../protocol/api/Access.ts"
import type { TokenEntry } from "../../protocol/api/Tokens.ts"
import { formatInstant } from "../../protocol/Duration.ts"

/** Owners and admins need no grant: the deployed hub shows this row in place of theirs. */
const everything: ReadonlyArray<MachineAccess> = [{ machineId: ANY_MACHINE, permissions: machinePermissions }]

const instants = ({ expiresAt, issuedAt, revokedAt }: Identity) => ({
  ...(issuedAt !== undefined && { issuedAt: formatInstant(issuedAt) }),
  ...(expiresAt !== undefined && { expiresAt: formatInstant(expiresAt) }),
  ...(revokedAt !== undefined && { revokedAt: formatInstant(revokedAt) })
})

/** An identity as the list of tokens has it. */
export const tokenEntry = (identity: Identity): TokenEntry => ({
  id: identity.id,
  role: identity.role,
  tokenPreview: `${identity.prefix}...`,
  ...instants(identity)
})

/** What somebody holds on one machine. */
type Held = Readonly<Record<MachinePermission, ReadonlyArray<Grant>>>

/** The services that connecting is limited to: of several grants, all of theirs, and none is a limit when one has none. */
const connectServices = (held: Held): ReadonlyArray<string> | undefined => {
  const grants = held.connect
  if (grants.length < 2) return grants[0]?.services
  if (grants.some(({ services }) => services === undefined)) return undefined
  return [...new Set(grants.flatMap(({ services = [] }) => services))]
}

/** When the first permission ends: each lasts as long as its longest grant. */
const firstEnd = (held: Held): number | undefined => {
  let first = Infinity
  for (const permission of machinePermissions) {
    const grants = held[permission]
    if (grants.length === 0 || grants.some(({ expiresAt }) => expiresAt === undefined)) continue
    first = Math.min(first, Math.max(...grants.map(({ expiresAt = Infinity }) => expiresAt)))
  }
  return Number.isFinite(first) ? first : undefined
}

/** One row: what an identity holds on one machine. */
export const machineAccess = (machineId: string, held: Held): MachineAccess => {
  const services = connectServices(held)
  const end = firstEnd(held)
  return {
    machineId,
    permissions: machinePermissions.filter((permission) => held[permission].length > 0),
    ...(services !== undefined && { services }),
    ...(end !== undefined && { expiresAt: formatInstant(end) })
  }
}

/** The rows of an identity, by machine. Grants that have expired give nothing and are left out. */
export const machinesOf = (snapshot: Snapshot, identity: Identity, now: number): ReadonlyArray<MachineAccess> => {
  if (identity.role === "owner" || identity.role === "admin") return everything
  const rows: Array<MachineAccess> = []
  for (const machine of Identities.machinesOf(snapshot, identity.id)) {
    const on = grantsOn(snapshot, machine)
    const row = machineAccess(machine, {
      register: standing(on?.register.get(identity.id), now),
      connect: standing(on?.connect.get(identity.id), now),
      manage: standing(on?.manage.get(identity.id), now)
    })
    if (row.permissions.length > 0) rows.push(row)
  }
  return rows
}

/** An identity with its permissions. */
export const accessEntry = (snapshot: Snapshot, identity: Identity, now: number): AccessEntry => {
  const machines = machinesOf(snapshot, identity, now)
  const inherited = machines === everything ? undefined : machines.find(({ machineId }) => machineId === ANY_MACHINE)
  return {
    id: identity.id,
    role: identity.role,
    tokenPreview: `${identity.prefix}...`,
    machines,
    ...instants(identity),
    version: identity.version,
    ...(inherited !== undefined && { wildcardInherited: inherited.permissions }),
    ...(inherited?.services !== undefined && { wildcardInheritedServices: inherited.services })
  }
}
