/**
 * Identities, grants, and the immutable snapshot of both that every decision is made on. Pure: a snapshot knows nothing
 * of files or sockets.
 */

/** What an identity is in general; what it may do on a machine is in its grants. */
export type Role = "owner" | "admin" | "user" | "viewer"

/** Permissions that are granted by machine. */
export const machinePermissions = ["register", "connect", "manage"] as const
export type MachinePermission = (typeof machinePermissions)[number]

/** The machine name whose grants apply to every machine, present and future. */
export const ANY_MACHINE = "*"

/** A named token. Instants are milliseconds since the epoch. */
export interface Identity {
  readonly id: string
  readonly role: Role
  /** SHA-256 of the token as 64 hex characters. */
  readonly tokenHash: string
  /** First characters of the token, for people. */
  readonly prefix: string
  readonly issuedAt?: number
  readonly expiresAt?: number
  readonly revokedAt?: number
}

/** One permission of one identity on one machine. `services` limits it to services of those names; absent means all. */
export interface Grant {
  readonly id: string
  readonly services?: ReadonlyArray<string>
  readonly expiresAt?: number
}

/** The grants on one machine: by permission, then by identity. */
export type MachineGrants = Readonly<Record<MachinePermission, ReadonlyMap<string, ReadonlyArray<Grant>>>>

/** A grant on a machine, as files and the API write them. */
export interface GrantEntry extends Grant {
  readonly machine: string
  readonly permission: MachinePermission
}

/** All identities and grants at one revision. Never changed; a change makes a new one with a higher revision. */
export interface Snapshot {
  readonly revision: number
  readonly identities: ReadonlyMap<string, Identity>
  readonly byTokenHash: ReadonlyMap<string, Identity>
  readonly machines: ReadonlyMap<string, MachineGrants>
}

/** The role a stored word stands for: the empty role is a user, and so is a word nobody knows (spec: hub-api 2.1). */
export const roleOf = (stored: string | undefined): Role =>
  stored === "owner" || stored === "admin" || stored === "viewer" ? stored : "user"

/** Builds a snapshot. Of two identities with one id or one token, the later one counts. */
export const makeSnapshot = (
  revision: number,
  identities: Iterable<Identity>,
  grants: Iterable<GrantEntry>
): Snapshot => {
  const byId = new Map<string, Identity>()
  for (const identity of identities) byId.set(identity.id, identity)
  const byTokenHash = new Map<string, Identity>()
  for (const identity of byId.values()) byTokenHash.set(identity.tokenHash, identity)
  const machines = new Map<string, Record<MachinePermission, Map<string, Array<Grant>>>>()
  for (const { machine, permission, ...grant } of grants) {
    let entry = machines.get(machine)
    if (entry === undefined) {
      entry = { register: new Map(), connect: new Map(), manage: new Map() }
      machines.set(machine, entry)
    }
    const held = entry[permission].get(grant.id)
    if (held === undefined) entry[permission].set(grant.id, [grant])
    else held.push(grant)
  }
  return { revision, identities: byId, byTokenHash, machines }
}

/** Why an identity counts for nothing now, in words; undefined when it is valid. */
export const invalidity = (identity: Identity, now: number): string | undefined => {
  if (identity.revokedAt !== undefined) return `the token of ${identity.id} was revoked`
  if (identity.expiresAt !== undefined && identity.expiresAt <= now) return `the token of ${identity.id} has expired`
  return undefined
}

/** The valid identity whose token has this SHA-256: one Map lookup, never a scan. */
export const identify = (snapshot: Snapshot, tokenHash: string, now: number): Identity | undefined => {
  const identity = snapshot.byTokenHash.get(tokenHash)
  return identity === undefined || invalidity(identity, now) !== undefined ? undefined : identity
}
