/**
 * What may be changed of identities and grants, and the rules that hold whoever asks: owners are changed by owners only,
 * and one owner whom no expiry takes away always stands. Pure: a change makes a new snapshot of an old one.
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import type { Kept } from "../crypto/Token.ts"
import { formatInstant } from "../protocol/Duration.ts"
import { COUNT_MAX } from "../protocol/Limits.ts"
import { hasLastingOwner, identityOf, isLastingOwner, machinesOf, sharersOf } from "./Identity.ts"
import type { AssignableRole, GrantEntry, Identity, MachinePermission, Role, Snapshot } from "./Identity.ts"
import { byPermission, dropIdentity, grantsOnMachine, putIdentity, rename, setGrants } from "./SnapshotEdit.ts"
import type { Held } from "./SnapshotEdit.ts"

/** One change. Each is applied whole or not at all. */
export type Change = Data.TaggedEnum<{
  /** A new identity, with the grants it begins with. `version` continues that of an earlier identity of this id. */
  Add: {
    readonly id: string
    readonly role: AssignableRole
    readonly token: Kept
    readonly expiresAt?: number
    readonly grants: ReadonlyArray<Omit<GrantEntry, "id">>
  }
  /** The token counts for nothing from now on; identity and grants stay for the record. */
  Revoke: { readonly id: string }
  /** A new token in place of the old one, revoked or not; grants, role and expiry stay. */
  Rotate: { readonly id: string; readonly token: Kept }
  /** Another name, role or expiry; `null` takes an expiry away. */
  Update: {
    readonly id: string
    readonly rename?: string
    readonly role?: AssignableRole
    readonly expiresAt?: number | null
  }
  /** The identity and all its grants go. */
  Remove: { readonly id: string }
  /** Sets exactly these permissions of this identity on this machine. Services limit `connect`. */
  Grant: {
    readonly id: string
    readonly machine: string
    readonly permissions: ReadonlyArray<MachinePermission>
    readonly services?: ReadonlyArray<string>
    readonly expiresAt?: number
  }
  /** Takes every permission of this identity on this machine. */
  RevokeMachine: { readonly id: string; readonly machine: string }
}>
/** Makes changes: `Change.Revoke({ id })`. */
export const Change = Data.taggedEnum<Change>()

/** Why a change was not made. */
export type ChangeProblem =
  | "unknown-identity"
  | "exists"
  | "owner-only"
  /** Whoever asks may change nothing, or no longer. */
  | "not-allowed"
  | "last-owner"
  /** The token of a viewer may be known to anybody who looked. */
  | "viewer"
  /** The identity has another version than the caller had seen. */
  | "stale"
  | "no-grant"

/** A change that was not made; nothing has changed. */
export class ChangeRefused extends Data.TaggedError("ChangeRefused")<{
  readonly kind: ChangeProblem
  readonly message: string
}> {}

/** In what circumstances a change is made. */
export interface ChangeContext {
  /** The role of whoever asks; the hub's own machine (`telahubd user`) has an owner's. */
  readonly by: Role
  /** When the token of whoever asks expires; undefined when it does not. */
  readonly until?: number
  /** Milliseconds since the epoch. */
  readonly now: number
  /** The version that the caller had seen; undefined when it makes no difference. */
  readonly ifVersion?: number
  /** Last version of former identities of an id, from which the next one of that name goes on. */
  readonly lastVersion?: (id: string) => number
}

/** What a change made. */
export interface Applied {
  readonly snapshot: Snapshot
  /** The identity as it is now; as it was, when it was removed. */
  readonly identity: Identity
  /** What it held on the machine of a Grant or RevokeMachine before. */
  readonly replaced: ReadonlyArray<GrantEntry>
  /** Ids whose line in the file changed; a removed or former one is among them. */
  readonly identities: ReadonlyArray<string>
  /** Machines whose line in the file changed. */
  readonly machines: ReadonlyArray<string>
  /** Digests of the tokens with which something may have been begun that is to be asked again. */
  readonly tokens: ReadonlyArray<string>
}

/** The version or revision after one. */
export const following = (count: number): number => Math.min(count + 1, COUNT_MAX)

const refuse = (kind: ChangeProblem, message: string) => Either.left(new ChangeRefused({ kind, message }))

/** What the policy of identities says to a person who may not touch owners. */
const ownerOnly = "only an owner may create, rotate, rename, demote, revoke or remove an owner, or give that role"

/** What a change makes before it counts as one: the revision is still the former. */
interface Made extends Omit<Applied, "replaced"> {
  readonly replaced?: ReadonlyArray<GrantEntry>
}

const addIdentity = (snapshot: Snapshot, change: Extract<Change, { _tag: "Add" }>, context: ChangeContext): Made => {
  const { expiresAt, grants, id, role, token } = change
  const version = following(context.lastVersion?.(id) ?? 0)
  const identity: Identity = {
    id,
    role,
    ...token,
    issuedAt: context.now,
    ...(expiresAt !== undefined && { expiresAt }),
    version
  }
  // What a person left of an earlier one of this name in the file is not the new one's.
  const machines = [...new Set([...machinesOf(snapshot, id), ...grants.map((grant) => grant.machine)])]
  const entries = grants.map((grant): GrantEntry => ({ ...grant, id }))
  const granted = machines.reduce((made, machine) => {
    const held = entries.filter((grant) => grant.machine === machine)
    return setGrants(made, id, machine, byPermission(held, id))
  }, snapshot)
  return { snapshot: putIdentity(granted, identity, undefined), identity, identities: [id], machines, tokens: [] }
}

const changeIdentity = (
  snapshot: Snapshot,
  current: Identity,
  change: Exclude<Change, { _tag: "Add" }>,
  { lastVersion, now }: ChangeContext
): Made => {
  const { id } = current
  const tokens = [current.tokenHash]
  const next = { ...current, version: following(current.version) }
  const put = (identity: Identity): Made => ({
    snapshot: putIdentity(snapshot, identity, current),
    identity,
    identities: [id],
    machines: [],
    tokens
  })
  const onMachine = (machine: string, held: Held): Made => ({
    ...put(next),
    snapshot: putIdentity(setGrants(snapshot, id, machine, held), next, current),
    machines: [machine],
    replaced: grantsOnMachine(snapshot, id, machine)
  })
  switch (change._tag) {
    case "Revoke":
      return put({ ...next, revokedAt: now })
    case "Rotate": {
      const { revokedAt: _, ...kept } = next
      return put({ ...kept, ...change.token, issuedAt: now })
    }
    case "Update": {
      const { expiresAt, ...rest } = next
      const until = change.expiresAt === undefined ? expiresAt : (change.expiresAt ?? undefined)
      const updated: Identity = {
        ...rest,
        id: change.rename ?? id,
        role: change.role ?? current.role,
        ...(until !== undefined && { expiresAt: until })
      }
      if (updated.id === id) return put(updated)
      const version = following(Math.max(current.version, lastVersion?.(updated.id) ?? 0))
      const renamed = { ...updated, version }
      return {
        snapshot: rename(snapshot, current, renamed),
        identity: renamed,
        identities: [id, updated.id],
        machines: [...machinesOf(snapshot, id), ...machinesOf(snapshot, updated.id)],
        tokens
      }
    }
    case "Remove":
      return {
        snapshot: dropIdentity(snapshot, current),
        identity: current,
        identities: [id],
        machines: machinesOf(snapshot, id),
        tokens
      }
    case "Grant": {
      const { expiresAt, machine, permissions, services } = change
      const entries = [...new Set(permissions)].map((permission): GrantEntry => ({
        id,
        machine,
        permission,
        ...(permission === "connect" && services !== undefined && { services }),
        ...(expiresAt !== undefined && { expiresAt })
      }))
      return onMachine(machine, byPermission(entries, id))
    }
    case "RevokeMachine":
      return onMachine(change.machine, {})
  }
}

/** Whether a change ends the token that somebody has. */
const endsToken = ({ _tag }: Change): boolean => _tag === "Revoke" || _tag === "Rotate" || _tag === "Remove"

/** A token that ends does so for everybody to whom a file gives it, or it would be one of them's from the next start on. */
const endSharers = (made: Made, sharers: ReadonlyArray<Identity>, { now }: ChangeContext): Made =>
  sharers.reduce((ended, sharer) => {
    const revoked = { ...sharer, version: following(sharer.version), revokedAt: sharer.revokedAt ?? now }
    return {
      ...ended,
      snapshot: putIdentity(ended.snapshot, revoked, sharer),
      identities: [...ended.identities, sharer.id]
    }
  }, made)

/** Who the change leaves in charge: the one rule that no path gets around. */
const losesLastOwner = (before: Snapshot, current: Identity | undefined, after: Snapshot): boolean =>
  current !== undefined && isLastingOwner(before, current) && !hasLastingOwner(after)

/**
 * Whether somebody whose own token expires would make or keep up what may administer the hub for longer: nobody gives more
 * than they have, and a new token is theirs to keep.
 */
const outlasts = ({ identity }: Made, change: Change, { until = Infinity }: ChangeContext): boolean => {
  if (identity.role !== "owner" && identity.role !== "admin") return false
  const isGiven =
    change._tag === "Add" ||
    change._tag === "Rotate" ||
    (change._tag === "Update" && (change.role !== undefined || change.expiresAt !== undefined))
  return isGiven && (identity.expiresAt ?? Infinity) > until
}

const touchesOwner = (current: Identity | undefined, change: Change): boolean => {
  if (change._tag === "Add") return change.role === "owner"
  if (change._tag === "Update" && change.role === "owner") return true
  return current?.role === "owner" && change._tag !== "Grant" && change._tag !== "RevokeMachine"
}

/** Makes a change, or says why not. The order of the checks is that of spec: hub-api 1.6 to 1.8. */
export const apply = (
  snapshot: Snapshot,
  change: Change,
  context: ChangeContext
): Either.Either<Applied, ChangeRefused> => {
  const { id } = change
  const current = identityOf(snapshot, id)
  if (change._tag === "Add" ? current !== undefined : current === undefined) {
    return change._tag === "Add"
      ? refuse("exists", `an identity called ${id} already exists`)
      : refuse("unknown-identity", `no identity is called ${id}`)
  }
  const sharers = current !== undefined && endsToken(change) ? sharersOf(snapshot, current) : []
  const isOwners = touchesOwner(current, change) || sharers.some(({ role }) => role === "owner")
  if (isOwners && context.by !== "owner") return refuse("owner-only", ownerOnly)
  const stale =
    context.ifVersion !== undefined && current !== undefined && current.version !== context.ifVersion
      ? refuse("stale", `${id} has changed since: its version is ${current.version}, not ${context.ifVersion}`)
      : undefined
  // To end an identity comes after the question whether it may be ended at all.
  const isLate = change._tag === "Revoke" || change._tag === "Remove"
  if (stale !== undefined && !isLate) return stale
  if (change._tag === "Update" && change.role !== undefined && current?.role === "viewer") {
    return refuse("viewer", `${id} is a viewer, whose token others may know; add an identity for that role instead`)
  }
  if (change._tag === "Update" && change.rename !== undefined && change.rename !== id) {
    if (identityOf(snapshot, change.rename) !== undefined) {
      return refuse("exists", `an identity called ${change.rename} already exists`)
    }
  }
  if (change._tag === "RevokeMachine" && grantsOnMachine(snapshot, id, change.machine).length === 0) {
    return refuse("no-grant", `${id} has no permission on ${change.machine}`)
  }
  const changed =
    change._tag === "Add"
      ? addIdentity(snapshot, change, context)
      : current === undefined
        ? undefined
        : changeIdentity(snapshot, current, change, context)
  if (changed === undefined) return refuse("unknown-identity", `no identity is called ${id}`)
  if (outlasts(changed, change, context)) {
    const until = formatInstant(context.until ?? 0)
    return refuse(
      "not-allowed",
      `your own token expires at ${until}; what you give an owner or admin may last no longer`
    )
  }
  const made = endSharers(changed, sharers, context)
  if (losesLastOwner(snapshot, current, made.snapshot)) {
    return refuse(
      "last-owner",
      `${id} is the last remaining owner, the sole owner that does not expire; give another identity that role first`
    )
  }
  if (stale !== undefined) return stale
  return Either.right({
    replaced: [],
    ...made,
    snapshot: { ...made.snapshot, revision: following(snapshot.revision) }
  })
}
