/**
 * Sessions that ended without their link having to: client and agent may go on with it in another session, and until then
 * the agent keeps its streams. The hub cannot see which of them do, so it remembers all for longer than any agent waits,
 * to be able to say which may not be any more.
 */
import type { Identity } from "../policy/Identity.ts"
import { DETACHED_PER_IDENTITY, DETACHED_SESSIONS, RESUME_REMEMBERED } from "../protocol/Limits.ts"
import * as KeyIndex from "./internal/keyIndex.ts"

/** A session that is over, as its agent knows it. */
export interface DetachedSession {
  readonly id: string
  readonly machine: string
  readonly principal: Identity
  /** Names of the only services that its link may use, as the agent was told last; absent means all. */
  readonly services: ReadonlyArray<string> | undefined
}

export interface Detached {
  /** Remembers one, in place of what was known of it; the oldest may have to be forgotten for it. */
  readonly add: (session: DetachedSession) => void
  readonly forget: (id: string) => void
  readonly find: (id: string) => DetachedSession | undefined
  readonly ofToken: (tokenHash: string) => ReadonlyArray<DetachedSession>
  readonly ofMachine: (machine: string) => ReadonlyArray<DetachedSession>
  /** The tokens of all. */
  readonly tokens: () => Iterable<string>
  readonly size: () => number
}

interface Entry extends DetachedSession {
  readonly until: number
}

/** `now` is in milliseconds since the epoch. */
export const make = (now: () => number): Detached => {
  /** The oldest first. */
  const byId = new Map<string, Entry>()
  const byToken = KeyIndex.make<Entry>()
  const byMachine = KeyIndex.make<Entry>()
  /** One identity's flood of sessions must not make the hub forget another's. */
  const byBoth = KeyIndex.make<Entry>()
  const bothOf = ({ machine, principal }: DetachedSession) => `${principal.tokenHash} ${machine}`

  const forget = (id: string) => {
    const entry = byId.get(id)
    if (entry === undefined) return
    byId.delete(id)
    byToken.remove(entry.principal.tokenHash, entry)
    byMachine.remove(entry.machine, entry)
    byBoth.remove(bothOf(entry), entry)
  }

  const makeRoom = (session: DetachedSession) => {
    const at = now()
    for (const { id, until } of byId.values()) {
      if (until > at && byId.size < DETACHED_SESSIONS) break
      forget(id)
    }
    const both = bothOf(session)
    if (byBoth.count(both) < DETACHED_PER_IDENTITY) return
    const [oldest] = byBoth.of(both)
    if (oldest !== undefined) forget(oldest.id)
  }

  return {
    add: ({ id, machine, principal, services }) => {
      forget(id)
      const entry = { id, machine, principal, services, until: now() + RESUME_REMEMBERED }
      makeRoom(entry)
      byId.set(id, entry)
      byToken.add(principal.tokenHash, entry)
      byMachine.add(machine, entry)
      byBoth.add(bothOf(entry), entry)
    },
    forget,
    find: (id) => byId.get(id),
    ofToken: byToken.of,
    ofMachine: byMachine.of,
    tokens: byToken.keys,
    size: () => byId.size
  }
}
