/**
 * The owners of a hub's file: one stands always, whom no expiry takes away, and a hub never runs without.
 */
import { hasLastingOwner, holdsToken, identityOf, invalidity, withVersion } from "../policy/Identity.ts"
import type { Identity, Snapshot } from "../policy/Identity.ts"
import * as PersistentMap from "../policy/PersistentMap.ts"
import * as Quote from "../protocol/Quote.ts"
import type { Merged } from "./AuthMerge.ts"
import type { Reading } from "./HubReader.ts"
import { unreadable } from "./IdentityStore.ts"
import type { StoreFailure } from "./IdentityStore.ts"
import * as Snapshots from "./internal/snapshots.ts"

/** What a file has not. */
const lacking = {
  everything: "this file is empty",
  identities: "nobody is in this file",
  owner: "no valid identity in this file has the role owner"
}

/** Why a file without a valid owner is not taken, and the ways back. */
export const ownerless = (path: string, lacks: keyof typeof lacking): StoreFailure => {
  const config = Quote.flag("config", path)
  const ways =
    lacks === "owner"
      ? `\`telahubd user rotate <owner> ${config}\` or \`telahubd user add <id> -role owner ${config}\``
      : // Such a file counts as older than what was recorded, and has nobody whose token could be replaced.
        `\`telahubd user add <id> -role owner -force ${config}\`, which begins anew with that one alone`
  return unreadable(
    `${path}: ${lacking[lacks]}; a hub never runs like that. Restore the file from a backup, or, on the hub's machine, run ${ways}`
  )
}

/** The valid owner whose time ends last. */
const longestOwner = (snapshot: Snapshot, now: number): Identity | undefined => {
  let longest: Identity | undefined
  for (const identity of PersistentMap.values(snapshot.identities)) {
    if (identity.role !== "owner" || invalidity(identity, now) !== undefined) continue
    if (!holdsToken(snapshot, identity)) continue
    const { expiresAt = Infinity } = identity
    if (longest === undefined || expiresAt > (longest.expiresAt ?? Infinity)) longest = identity
  }
  return longest
}

/** Whether the file itself has a valid owner, whatever it is merged with. */
export const hasOwner = (reading: Reading, known: Snapshot, now: number): boolean => {
  for (const id of reading.ids) {
    const identity = reading.identities.get(id)?.value ?? identityOf(known, id)
    if (identity?.role !== "owner") continue
    if (invalidity(withVersion(identity), now) === undefined) return true
  }
  return false
}

/** One owner always stands whom no expiry takes away: where all expire, the last one does not. Undefined without any. */
export const withLastingOwner = (
  merged: Merged,
  now: number
): { readonly merged: Merged; readonly kept: Identity | undefined } | undefined => {
  const { snapshot } = merged
  if (hasLastingOwner(snapshot)) return { merged, kept: undefined }
  const kept = longestOwner(snapshot, now)
  if (kept === undefined) return undefined
  const { expiresAt: _, ...lasting } = kept
  const { revision } = snapshot
  const exchange = { revision, identities: new Map([[kept.id, lasting]]), machines: new Map() }
  return {
    merged: {
      ...merged,
      snapshot: Snapshots.apply(snapshot, exchange),
      identities: new Set([...merged.identities, kept.id])
    },
    kept
  }
}

/** What is said of the owner who was kept. */
export const expiring = (path: string, kept: Identity): string =>
  `${path}: every owner expires; ${kept.id}, the last one, is treated as one that does not. To give another identity that ` +
  "role, run: telahubd user add <id> -role owner"
