/**
 * Identities, grants, and the immutable snapshot of both that every decision is made on. Pure: a snapshot knows nothing
 * of files or sockets. Its maps are persistent, so that a change among 10,000 identities copies a few nodes and no more.
 */
import * as PersistentMap from "./PersistentMap.ts"

/** What an identity is in general; what it may do on a machine is in its grants. */
export type Role = "owner" | "admin" | "user" | "viewer"

/** A role that can be given; `viewer` is the hub's own console's. */
export type AssignableRole = Exclude<Role, "viewer">

/** Permissions that are granted by machine. */
export const machinePermissions = ["register", "connect", "manage"] as const
export type MachinePermission = (typeof machinePermissions)[number]

/** The machine name whose grants apply to every machine, present and future. */
export const ANY_MACHINE = "*"

/** A named token. Instants are milliseconds since the epoch. */
export interface Identity {
  readonly id: string
  readonly role: Role
  /** SHA-256 of the token as 64 hex characters. What was begun with a token is known by it, so that a rename ends nothing. */
  readonly tokenHash: string
  /** First characters of the token, for people. */
  readonly prefix: string
  readonly issuedAt?: number
  readonly expiresAt?: number
  readonly revokedAt?: number
  /** Counts the changes of this identity and of its grants, from 1; what an ETag names (spec: hub-api 1.9). */
  readonly version: number
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
  readonly identities: PersistentMap.PersistentMap<Identity>
  /** Ids by the SHA-256 of their token. */
  readonly byTokenHash: PersistentMap.PersistentMap<string>
  readonly machines: PersistentMap.PersistentMap<MachineGrants>
  /** The machines on which an identity holds a grant. */
  readonly machinesOf: PersistentMap.PersistentMap<ReadonlySet<string>>
}

/** The role a stored word stands for: the empty role is a user, and so is a word nobody knows (spec: hub-api 2.1). */
export const roleOf = (stored: string | undefined): Role =>
  stored === "owner" || stored === "admin" || stored === "viewer" ? stored : "user"

/** An identity as a file has it; one that was never changed has no version yet. */
export type StoredIdentity = Omit<Identity, "version"> & { readonly version?: number }

/**
 * An identity that a file has. What is spread comes last: V8 gives an object to which something is added behind a spread a
 * hidden class of its own, which takes five times as long and twice the room.
 */
export const withVersion = (identity: StoredIdentity): Identity => ({ version: 1, ...identity })

type Building = Record<MachinePermission, Map<string, Array<Grant>> | undefined>

/** Nobody has a permission. One for all machines: most have two of these, and a hub may know 20,000. */
export const nobody: ReadonlyMap<string, ReadonlyArray<Grant>> = new Map()

/** A machine on which nobody has any. */
export const noGrants: MachineGrants = { register: nobody, connect: nobody, manage: nobody }

/** Builds a snapshot. Of two identities with one id or one token, the later one counts. */
export const makeSnapshot = (
  revision: number,
  identities: Iterable<StoredIdentity>,
  grants: Iterable<GrantEntry>
): Snapshot => {
  const byId = new Map<string, Identity>()
  for (const identity of identities) byId.set(identity.id, withVersion(identity))
  const machines = new Map<string, Building>()
  const machinesOf = new Map<string, Set<string>>()
  for (const { machine, permission, ...grant } of grants) {
    let entry = machines.get(machine)
    if (entry === undefined) {
      entry = { register: undefined, connect: undefined, manage: undefined }
      machines.set(machine, entry)
    }
    const holders = (entry[permission] ??= new Map())
    const held = holders.get(grant.id)
    if (held === undefined) holders.set(grant.id, [grant])
    else held.push(grant)
    const of = machinesOf.get(grant.id)
    if (of === undefined) machinesOf.set(grant.id, new Set([machine]))
    else of.add(machine)
  }
  return {
    revision,
    identities: PersistentMap.of(byId),
    byTokenHash: PersistentMap.of(Array.from(byId.values(), ({ id, tokenHash }) => [tokenHash, id] as const)),
    machines: PersistentMap.of<MachineGrants>(
      Array.from(
        machines,
        ([machine, { connect = nobody, manage = nobody, register = nobody }]) =>
          [machine, { register, connect, manage }] as const
      )
    ),
    machinesOf: PersistentMap.of<ReadonlySet<string>>(machinesOf)
  }
}

/** The identity of an id, valid or not. */
export const identityOf = (snapshot: Snapshot, id: string): Identity | undefined =>
  PersistentMap.get(snapshot.identities, id)

/** The identity that holds the token of a SHA-256, valid or not: a lookup, never a scan. */
export const holderOf = (snapshot: Snapshot, tokenHash: string): Identity | undefined => {
  const id = PersistentMap.get(snapshot.byTokenHash, tokenHash)
  return id === undefined ? undefined : identityOf(snapshot, id)
}

/** Whether a file gives one token to several identities. */
const isAnyShared = (snapshot: Snapshot): boolean => snapshot.byTokenHash.size !== snapshot.identities.size

/**
 * The identity that holds now the token which somebody came with, whatever it is called by now. Every message may ask, so
 * the token is looked for only where the name does not tell: that costs three times as much.
 */
export const currentOf = (
  snapshot: Snapshot,
  { id, tokenHash }: Pick<Identity, "id" | "tokenHash">
): Identity | undefined => {
  const named = identityOf(snapshot, id)
  return named?.tokenHash === tokenHash && !isAnyShared(snapshot) ? named : holderOf(snapshot, tokenHash)
}

/** The grants on a machine; undefined when nobody has one. */
export const grantsOn = (snapshot: Snapshot, machine: string): MachineGrants | undefined =>
  PersistentMap.get(snapshot.machines, machine)

/** The machines on which an identity holds a grant, by name. */
export const machinesOf = (snapshot: Snapshot, id: string): ReadonlyArray<string> =>
  [...(PersistentMap.get(snapshot.machinesOf, id) ?? [])].toSorted()

/** Every grant of an identity, by machine. */
export const grantsOf = (snapshot: Snapshot, id: string): ReadonlyArray<GrantEntry> =>
  machinesOf(snapshot, id).flatMap((machine) => {
    const on = grantsOn(snapshot, machine)
    return machinePermissions.flatMap((permission) =>
      (on?.[permission].get(id) ?? []).map((grant) => ({ machine, permission, ...grant }))
    )
  })

const none: ReadonlyArray<Grant> = []

/** Those of some grants that have not expired: nearly always all of them. */
export const standing = (grants: ReadonlyArray<Grant> | undefined, now: number): ReadonlyArray<Grant> => {
  if (grants === undefined) return none
  const stands = ({ expiresAt = Infinity }: Grant) => expiresAt > now
  return grants.every(stands) ? grants : grants.filter(stands)
}

/** All identities, by id. */
export const identitiesOf = (snapshot: Snapshot): ReadonlyArray<Identity> => {
  // Names are brought into order by the engine itself, six times as fast as by a comparison of ours.
  const names = PersistentMap.values(snapshot.identities).map(({ id }) => id)
  return names.toSorted().flatMap((id) => identityOf(snapshot, id) ?? [])
}

/** Why an identity counts for nothing now, in words; undefined when it is valid. */
export const invalidity = (identity: Identity, now: number): string | undefined => {
  if (identity.revokedAt !== undefined) return `the token of ${identity.id} was revoked`
  if (identity.expiresAt !== undefined && identity.expiresAt <= now) return `the token of ${identity.id} has expired`
  return undefined
}

/** The valid identity whose token has this SHA-256. */
export const identify = (snapshot: Snapshot, tokenHash: string, now: number): Identity | undefined => {
  const identity = holderOf(snapshot, tokenHash)
  return identity === undefined || invalidity(identity, now) !== undefined ? undefined : identity
}

/** Whether an identity has its token for itself: in a file that gives one to two of them, it is the other's. */
export const holdsToken = (snapshot: Snapshot, { id, tokenHash }: Pick<Identity, "id" | "tokenHash">): boolean =>
  PersistentMap.get(snapshot.byTokenHash, tokenHash) === id

/** Whether a token is another's, and was so before an identity was changed that has it, too. */
export const isAnothers = (snapshot: Snapshot, tokenHash: string, before: Identity | undefined): boolean =>
  before?.tokenHash === tokenHash && !holdsToken(snapshot, before)

/** The others that have the token which an identity holds; nobody when it holds none. */
export const sharersOf = (snapshot: Snapshot, holder: Identity): ReadonlyArray<Identity> => {
  // Almost never does anybody share one, and then nobody has to be looked for.
  if (!isAnyShared(snapshot)) return []
  if (!holdsToken(snapshot, holder)) return []
  return identitiesOf(snapshot).filter(({ id, tokenHash }) => tokenHash === holder.tokenHash && id !== holder.id)
}

/** An owner that no expiry takes away, and who can come. While one stands, the hub can be administered. */
export const isLastingOwner = (snapshot: Snapshot, identity: Identity): boolean =>
  identity.role === "owner" &&
  identity.revokedAt === undefined &&
  identity.expiresAt === undefined &&
  holdsToken(snapshot, identity)

/** Whether there is such an owner. */
export const hasLastingOwner = (snapshot: Snapshot): boolean =>
  PersistentMap.values(snapshot.identities).some((identity) => isLastingOwner(snapshot, identity))
