/** What the record calls an identity that something was begun with. */
import { holderOf, identityOf } from "../../policy/Identity.ts"
import type { Identity, Snapshot } from "../../policy/Identity.ts"
import { removedName } from "../../store/Audit.ts"

/** Its name now, since an event is taken to be about whoever has the name when it is noted. */
export const nameNow = (snapshot: Snapshot, identity: Identity): string => {
  const holder = holderOf(snapshot, identity.tokenHash)
  if (holder !== undefined) return holder.id
  return identityOf(snapshot, identity.id) === undefined ? removedName(identity.id) : identity.id
}
