/** Identities and their permissions as the API shows them (spec: hub-api 1.5, 1.8): what holds now, never a token. */
import { ANY_MACHINE, grantsOf, machinePermissions } from "../../policy/Identity.ts"
import type { GrantEntry, Identity, Snapshot } from "../../policy/Identity.ts"
import type { AccessEntry, MachineAccess, TokenEntry } from "../../protocol/AdminApi.ts"
import { formatInstant } from "../../protocol/Duration.ts"

/** Owners and admins need no grant: the deployed hub shows this row in place of theirs. */
const everything: ReadonlyArray<MachineAccess> = [{ machineId: ANY_MACHINE, permissions: machinePermissions }]

const instants = ({ expiresAt, issuedAt, revokedAt }: Identity) => ({
  ...(issuedAt !== undefined && { issuedAt: formatInstant(issuedAt) }),
  ...(expiresAt !== undefined && { expiresAt: formatInstant(expiresAt) }),
  ...(revokedAt !== undefined && { revokedAt: formatInstant(revokedAt) })
})

export const tokenEntry = (identity: Identity): TokenEntry => ({
  id: identity.id,
  role: identity.role,
  tokenPreview: `${identity.prefix}...`,
  ...instants(identity)
})

/** The services that connecting is limited to: of several grants, all of theirs, and none is a limit when one has none. */
const connectServices = (grants: ReadonlyArray<GrantEntry>): ReadonlyArray<string> | undefined => {
  const connect = grants.filter(({ permission }) => permission === "connect")
  const names = connect.flatMap(({ services = [] }) => services)
  return connect.length === 0 || connect.some(({ services }) => services === undefined)
    ? undefined
    : [...new Set(names)]
}

/** When the first permission ends: each lasts as long as its longest grant. */
const firstEnd = (grants: ReadonlyArray<GrantEntry>): number | undefined => {
  const ends = machinePermissions.flatMap((permission) => {
    const of = grants.filter((grant) => grant.permission === permission)
    return of.length === 0 ? [] : [Math.max(...of.map(({ expiresAt = Infinity }) => expiresAt))]
  })
  const first = Math.min(...ends)
  return Number.isFinite(first) ? first : undefined
}

/** One row: the grants of an identity on one machine. */
export const machineAccess = (machineId: string, grants: ReadonlyArray<GrantEntry>): MachineAccess => {
  const services = connectServices(grants)
  const end = firstEnd(grants)
  return {
    machineId,
    permissions: machinePermissions.filter((one) => grants.some(({ permission }) => permission === one)),
    ...(services !== undefined && { services }),
    ...(end !== undefined && { expiresAt: formatInstant(end) })
  }
}

/** The rows of an identity, by machine. Grants that have expired give nothing and are left out. */
export const machinesOf = (snapshot: Snapshot, identity: Identity, now: number): ReadonlyArray<MachineAccess> => {
  if (identity.role === "owner" || identity.role === "admin") return everything
  const byMachine = new Map<string, Array<GrantEntry>>()
  for (const grant of grantsOf(snapshot, identity.id)) {
    if (grant.expiresAt !== undefined && grant.expiresAt <= now) continue
    const held = byMachine.get(grant.machine)
    if (held === undefined) byMachine.set(grant.machine, [grant])
    else held.push(grant)
  }
  return [...byMachine].map(([machine, grants]) => machineAccess(machine, grants))
}

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
