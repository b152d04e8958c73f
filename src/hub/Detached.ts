/**
 * Sessions that ended without their link having to: client and agent may go on with it in another session, and until then
 * the agent keeps its streams. The hub cannot see which of them do, so it remembers all for longer than any agent waits,
 * to be able to say which may not be any more.
 */
import type { Identity } from "../policy/Identity.ts"
import {
  DETACHED_PER_IDENTITY,
  DETACHED_PER_MACHINE,
  DETACHED_SESSIONS,
  RESUME_REMEMBERED
} from "../protocol/Limits.ts"
import * as KeyIndex from "./internal/keyIndex.ts"

/** A session that is over, as its agent knows it. */
export interface DetachedSession {
  readonly id: string
  readonly machine: string
  /** By the name that its agent was told last. */
  readonly principal: Identity
  /** Names of the only services that its link may use, as the agent was told last; absent means all. */
  readonly services: ReadonlyArray<string> | undefined
  /** By what rule its link may not go on, once that is so: final, and kept until the agent has certainly been told. */
  readonly revoked?: string
}

export interface Detached {
  /** Remembers one, in place of what was known of it; the oldest may have to be forgotten for it. */
  readonly add: (session: DetachedSession) => void
  /** Notes what has changed of one, which is remembered no longer for it. Its identity has the token that it had. */
  readonly amend: (id: string, now: Partial<Pick<DetachedSession, "principal" | "services" | "revoked">>) => void
  readonly forget: (id: string) => void
  /** Forgets those that no agent can have any more. */
  readonly expire: () => void
  readonly find: (id: string) => DetachedSession | undefined
  readonly ofToken: (tokenHash: string) => ReadonlyArray<DetachedSession>
  readonly ofMachine: (machine: string) => ReadonlyArray<DetachedSession>
  /** The tokens of all. */
  readonly tokens: () => Iterable<string>
  readonly size: () => number
}

type Entry = { -readonly [Key in keyof DetachedSession]: DetachedSession[Key] } & { readonly until: number }

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

  const expire = () => {
    const at = now()
    for (const { id, until } of byId.values()) {
      if (until > at) return
      forget(id)
    }
  }

  /** Forgets the first of those that share a key, if they are too many. */
  const makeRoomIn = (index: KeyIndex.KeyIndex<Entry>, key: string, most: number) => {
    if (index.count(key) < most) return
    const [oldest] = index.of(key)
    if (oldest !== undefined) forget(oldest.id)
  }

  const makeRoom = (session: DetachedSession) => {
    expire()
    makeRoomIn(byBoth, bothOf(session), DETACHED_PER_IDENTITY)
    makeRoomIn(byMachine, session.machine, DETACHED_PER_MACHINE)
    const [oldest] = byId.keys()
    if (oldest !== undefined && byId.size >= DETACHED_SESSIONS) forget(oldest)
  }

  return {
    add: ({ id, machine, principal, revoked, services }) => {
      forget(id)
      const until = now() + RESUME_REMEMBERED
      const entry: Entry = { id, machine, principal, services, until, ...(revoked !== undefined && { revoked }) }
      makeRoom(entry)
      byId.set(id, entry)
      byToken.add(principal.tokenHash, entry)
      byMachine.add(machine, entry)
      byBoth.add(bothOf(entry), entry)
    },
    amend: (id, changed) => {
      const entry = byId.get(id)
      if (entry !== undefined) Object.assign(entry, changed)
    },
    forget,
    expire,
    find: (id) => byId.get(id),
    ofToken: byToken.of,
    ofMachine: byMachine.of,
    tokens: byToken.keys,
    size: () => byId.size
  }
}
