/**
 * telahubd.yaml held against the record beside it: an old copy of the file cannot undo what stands there.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { following } from "../policy/Change.ts"
import type { Identity } from "../policy/Identity.ts"
import * as PersistentMap from "../policy/PersistentMap.ts"
import type { Merged } from "./AuthMerge.ts"
import * as AuthText from "./AuthText.ts"
import { expiring, ownerless, withLastingOwner } from "./HubOwners.ts"
import type { Options, Taken } from "./HubState.ts"
import { unreadable } from "./IdentityStore.ts"
import type { StoreFailure } from "./IdentityStore.ts"
import * as Snapshots from "./internal/snapshots.ts"

/**
 * Holds a file against the record: an identity that was removed does not come back by an old line, nor by anything in a
 * file that is older than the record. Undefined when the record says nothing against it.
 */
export const check = Effect.fnUntraced(function* (
  path: string,
  { changes, state }: Taken,
  recorded: number,
  options: Options
): Effect.fn.Return<Taken | undefined, StoreFailure> {
  const { revision } = state.snapshot
  const isOlder = revision < recorded
  if (isOlder && options.older === "refused") {
    if (state.snapshot.identities.size === 0) return yield* ownerless(path, "identities")
    return yield* unreadable(
      `${path}: this is an older copy, of revision ${revision}, while ${recorded} is the last that was recorded. A ` +
        "running hub puts the newer one back in a moment; else restore it, or go on from this one with -force"
    )
  }
  const bare = new Set(state.bare)
  const edited = new Set(changes.filter(({ how }) => how === "hand").map(({ id }) => id))
  const identities = new Map<string, Identity | undefined>()
  for (const identity of PersistentMap.values(state.snapshot.identities)) {
    const { id } = identity
    const last = options.recorded?.lastVersion(id) ?? 0
    const version = edited.has(id) ? identity.version - 1 : identity.version
    if (last === 0 || version > last) continue
    // A line without a version is a new one, but in an old file.
    identities.set(id, bare.has(id) && !isOlder ? { ...identity, version: following(last) } : undefined)
  }
  if (!isOlder && identities.size === 0) return undefined
  const gone = [...identities].filter(([, identity]) => identity === undefined).map(([id]) => id)
  const latest = Math.max(revision, recorded)
  const machines = Snapshots.machinesWithout(state.snapshot, gone)
  const found: Merged = {
    snapshot: Snapshots.apply(state.snapshot, { revision: latest, identities, machines }),
    changes: [],
    identities: new Set(identities.keys()),
    machines: new Set(machines.keys()),
    bare: []
  }
  const owned = withLastingOwner(found, yield* Clock.currentTimeMillis)
  if (owned === undefined && options.ownerless === "refused") return yield* ownerless(path, "owner")
  const { kept, merged } = owned ?? { kept: undefined, merged: found }
  const older =
    `${path}: this is an older copy, of revision ${revision}, while ${recorded} is the last that was recorded. Who was removed ` +
    "stays removed, but tokens that were revoked or replaced, and access that was taken, may be back: look through them " +
    "with `telahubd user list` and `tela admin access`"
  const removed = (id: string) => `${path}: ${id} was removed before; the line is not taken, and is removed`
  return {
    changes: [
      ...(isOlder ? [{ how: "older", text: older } as const] : []),
      ...gone.map((id) => ({ id, how: "lost", text: removed(id) }) as const),
      ...(kept === undefined ? [] : [{ how: "doubt", text: expiring(path, kept) } as const])
    ],
    state: {
      ...state,
      snapshot: merged.snapshot,
      text: AuthText.change(state.text, { revision: latest, ...AuthText.bodiesOf(merged.snapshot, merged) }),
      isAhead: true,
      bare: state.bare.filter((id) => !identities.has(id))
    }
  }
})
