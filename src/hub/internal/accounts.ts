/**
 * Who makes the hub hold how much, and with what: each identity with its sessions, each address with its other connections.
 * What waits for somebody who does not read it is to that one's account, and so is what has come in meanwhile from the
 * other end of the session, which is not listened to for that long; what somebody does not finish to say is to their own.
 */
import type { Carrier } from "../../transport/Carrier.ts"
import type { Holder } from "../../transport/Holders.ts"
import { CARRIER_HIGH_WATER } from "../../protocol/Limits.ts"
import type { Session } from "../Sessions.ts"

/** What holds something: a session, or a connection that is in none. */
export type Bearer = Session | Holder

/** What of a bearer is to one account. */
export interface Part {
  held: number
  /** Connections of whoever has the account, which are to be destroyed with it: a goodbye would wait as everything does. */
  readonly holders: Set<Holder>
}

export interface Account {
  held: number
  readonly parts: Map<Bearer, Part>
}

interface End {
  readonly session: Session
  readonly account: string
  readonly other: Carrier | undefined
  readonly otherAccount: string
}

/** `agentOf` names the account of a machine's agent. */
export const of = (
  holders: ReadonlyArray<Holder>,
  sessions: Iterable<Session>,
  agentOf: (machine: string) => string
): ReadonlyArray<Account> => {
  const ends = new Map<Carrier, End>()
  for (const session of sessions) {
    const { agent, client, machine, principal } = session
    const [theClient, theAgent] = [principal.tokenHash, agentOf(machine)]
    ends.set(client.carrier, { session, account: theClient, other: agent, otherAccount: theAgent })
    if (agent === undefined) continue
    ends.set(agent, { session, account: theAgent, other: client.carrier, otherAccount: theClient })
  }

  const accounts = new Map<string, Account>()
  const add = (account: string, bearer: Bearer, held: number, holder: Holder | undefined) => {
    if (held === 0) return
    const one = accounts.get(account) ?? { held: 0, parts: new Map<Bearer, Part>() }
    const part = one.parts.get(bearer) ?? { held: 0, holders: new Set() }
    one.held += held
    part.held += held
    if (holder !== undefined) part.holders.add(holder)
    accounts.set(account, one)
    one.parts.set(bearer, part)
  }

  for (const holder of holders) {
    const { address, carrier, unfinished, unread } = holder
    const end = carrier && ends.get(carrier)
    if (end === undefined) {
      add(address, holder, unread + unfinished, holder)
      continue
    }
    const { account, other, otherAccount, session } = end
    add(account, session, unread, holder)
    if (other !== undefined && other.buffered >= CARRIER_HIGH_WATER) add(otherAccount, session, unfinished, undefined)
    else add(account, session, unfinished, holder)
  }
  return [...accounts.values()]
}
