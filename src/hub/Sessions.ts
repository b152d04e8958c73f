/**
 * Sessions: asked for by a client, joined by its agent, relayed, ended. Found by id, by machine and by the token they were
 * asked for with, so that whatever ends a permission can end what was begun with it in the same turn.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import type { Identity } from "../policy/Identity.ts"
import { CloseCode, closeReason, Refusal } from "../protocol/Close.ts"
import { decode, encode } from "../protocol/Control.ts"
import { REPLACED_SILENCE, SESSION_INDEX_MAX } from "../protocol/Limits.ts"
import { HubKey } from "../store/HubKey.ts"
import type { Carrier } from "../transport/Carrier.ts"
import type { Inbox } from "../transport/Inbox.ts"
import * as Slices from "../transport/Slices.ts"
import * as Detached from "./Detached.ts"
import * as KeyIndex from "./internal/keyIndex.ts"
import * as SessionId from "./internal/sessionId.ts"
import * as Pace from "./Pace.ts"
import { withoutStopWords } from "./Refused.ts"
import * as Relay from "./Relay.ts"

/**
 * Why a session ended (spec: wire 3.9). The last four are of our making: its client's next session took its place, a peer
 * let the hub hold too much, or policy took the client's right, or the agent's.
 */
export type Ending =
  | "client left"
  | "agent session ended"
  | "agent disconnected"
  | "agent did not join"
  | "replaced"
  | "held too much"
  | "access ended"
  | "registration ended"

/** Endings that no end has asked for: one that resumes goes on with its streams in another session. */
const losses: ReadonlySet<Ending> = new Set<Ending>([
  "client left",
  "agent session ended",
  "agent disconnected",
  "replaced",
  "held too much"
])

/** Why there is no room for a session: in the hub, of its identity, or on its machine. */
export type Full = "hub" | "identity" | "machine"

/** How many sessions there may be, in all and of the identity that asks; and how fast its bytes may pass, each way. */
export interface Room {
  readonly hub: number
  readonly identity: number
  readonly bandwidth: number
}

/** How a session ended, and what it carried. */
export interface Ended {
  readonly why: Ending
  /** By what rule, when policy ended it. */
  readonly rule: string | undefined
  readonly relayed: Relay.Relayed
}

/** A session that has not ended. */
export interface Session {
  readonly id: string
  /** 1 to 254, and nobody else's on this machine while it lasts. */
  readonly index: number
  readonly machine: string
  /** Whose token it was asked for with, by the name that one has now. */
  readonly principal: Identity
  /** Names of the only services that it may use, as the agent was told last; absent means all. */
  readonly services: ReadonlyArray<string> | undefined
  readonly client: Inbox
  /** The client's long-term key, as it says; it proves that to the agent only. */
  readonly key: string | undefined
  /** The client's session key, for session-start. */
  readonly wgPubKey: string
  /** Whether both ends say that they can go on in another session, on another hub too. */
  readonly resumes: boolean
  /** The agent's session socket, once it has joined. */
  readonly agent: Carrier | undefined
  /** Done when the agent has joined, or the session has ended without that. */
  readonly settled: Deferred.Deferred<void>
  readonly ended: Deferred.Deferred<Ended>
}

export class Sessions extends Context.Tag("tela/hub/Sessions")<
  Sessions,
  {
    /**
     * A new session, if there is room. Where there is none, a session of the same identity, client key and machine whose
     * client has been silent for REPLACED_SILENCE ends for it, the one that is silent longest.
     */
    readonly open: (
      asked: Pick<Session, "machine" | "principal" | "services" | "client" | "key" | "wgPubKey" | "resumes">,
      room: Room
    ) => Either.Either<Session, Full>
    /** One that has not ended. */
    readonly find: (id: string) => Session | undefined
    /** Whether the session of an id, of which nothing else is known, was asked for with the token of this SHA-256. */
    readonly isOf: (id: string, tokenHash: string) => boolean
    /** A session that waits for its agent. */
    readonly waiting: (id: string, machine: string) => Session | undefined
    /** The agent's session socket: tells both ends, agent first, and relays from then on. */
    readonly pair: (session: Session, agent: Inbox) => void
    /**
     * Ends one; does nothing when it has ended. From the call on nothing passes and nobody finds it; its ends are told
     * `later`, and `ended` is done after that. The client of one whose access ended is told the `rule`.
     */
    readonly end: (session: Session, why: Ending, rule?: string) => void
    /** Whether nothing more is taken from either end of a session for now. */
    readonly hold: (session: Session, held: boolean) => void
    /** Ends those of a machine; with `unjoined`, only those its agent has not joined. */
    readonly endOfMachine: (machine: string, why: Ending, options?: { readonly unjoined: boolean }) => void
    /** Those that were asked for with a token, by its SHA-256. */
    readonly ofToken: (tokenHash: string) => ReadonlyArray<Session>
    /** The tokens of all. */
    readonly tokens: () => Iterable<string>
    /** What is to be said of endings, in order and a few a turn: however many end at once, others are not held up. */
    readonly later: Slices.Later
    /** Notes what a session's identity is called now, and what its agent is told that it may use. */
    readonly amend: (session: Session, now: Pick<Session, "principal" | "services">) => void
    /** Sessions of a machine, those not joined yet included. */
    readonly countOf: (machine: string) => number
    readonly size: () => number
    /** All that have not ended. */
    readonly all: () => Iterable<Session>
    /** Those that ended and whose link may go on. */
    readonly detached: Detached.Detached
    /** How many bytes have passed between clients and agents since the start, both ways. */
    readonly relayed: () => number
    /** Notes whose client was heard since the last look; says how much passed in all, and how often somebody had to wait. */
    readonly look: () => { readonly relayed: number; readonly paced: number }
    /** How fast the bytes of each identity may pass from now on. */
    readonly setBandwidth: (of: (principal: Identity) => number) => void
  }
>() {}

/** A session with what only this module changes. */
interface Live extends Session {
  principal: Identity
  services: ReadonlyArray<string> | undefined
  resumes: boolean
  agent: Carrier | undefined
  relay: Relay.Joined | undefined
  /** What its client had said at the last look, and when that was more than before. */
  said: number
  heardAt: number
}

/** Whether what an agent offers its client says that the session's streams can go on in another one. */
const offersToResume = (text: string): boolean => {
  const offer = decode(text)
  return Either.isRight(offer) && offer.right.type === "wg-pubkey" && offer.right.capabilities?.["resumes"] === true
}

const nothing: Relay.Relayed = { toAgent: 0, toClient: 0 }

/** What either end is told, or not, when the session is over. */
const tell = ({ agent, client: { carrier: client } }: Live, why: Ending, rule: string): void => {
  switch (why) {
    case "client left":
      agent?.sendText(encode({ type: "session-end" }))
      return agent?.close(CloseCode.normal, "")
    case "agent session ended":
      agent?.close(CloseCode.normal, "")
      return client.close(CloseCode.goingAway, Refusal.agentSessionEnded)
    case "agent disconnected":
      agent?.terminate()
      return client.close(CloseCode.goingAway, Refusal.agentDisconnected)
    case "agent did not join":
      return client.close(CloseCode.goingAway, Refusal.agentDidNotJoin)
    case "replaced":
      agent?.sendText(encode({ type: "session-end" }))
      agent?.close(CloseCode.normal, "")
      return client.close(CloseCode.goingAway, "another session of this client took its place")
    case "held too much":
      // Who does not read would not read a goodbye either, and what waits for it is to be freed now.
      for (const end of [agent, client]) {
        if (end === undefined || end.buffered === 0) end?.close(CloseCode.goingAway, Refusal.heldTooMuch)
        else end.terminate()
      }
      return
    case "access ended": {
      const message = closeReason(`${Refusal.accessRevoked}: ${rule}`)
      agent?.sendText(encode({ type: "session-end" }))
      agent?.revoke(CloseCode.policy, closeReason(withoutStopWords(`access revoked: ${rule}`)))
      client.sendText(encode({ type: "error", message }))
      return client.revoke(CloseCode.policy, message)
    }
    case "registration ended":
      agent?.revoke(CloseCode.policy, Refusal.registrationRevoked)
      return client.revoke(CloseCode.goingAway, Refusal.agentDisconnected)
  }
}

/** `now` is in milliseconds since the epoch. */
export const make = (ids: SessionId.SessionIds, now: () => number = Date.now): typeof Sessions.Service => {
  const byId = new Map<string, Live>()
  const byMachine = new Map<string, Map<number, Live>>()
  const byToken = KeyIndex.make<Live>()
  const later = Slices.make()
  const detached = Detached.make(now)
  const pace = Pace.make()
  /** By token: the sessions of an identity share what it may. */
  const lanes = new Map<string, Relay.Lanes>()
  /** Bytes that passed in sessions that are over, and in all at the last look. */
  let passed = 0
  let passedBefore = 0

  const freeIndex = (taken: ReadonlyMap<number, Live> | undefined): number | undefined => {
    for (let index = 1; index <= SESSION_INDEX_MAX; index++) if (taken?.has(index) !== true) return index
    return undefined
  }

  const end = (session: Live, why: Ending, rule?: string): void => {
    if (!byId.delete(session.id)) return
    const ofMachine = byMachine.get(session.machine)
    ofMachine?.delete(session.index)
    if (ofMachine?.size === 0) byMachine.delete(session.machine)
    const { tokenHash } = session.principal
    byToken.remove(tokenHash, session)
    session.relay?.unlink()
    if (byToken.count(tokenHash) === 0) lanes.delete(tokenHash)
    const relayed = session.relay?.relayed ?? nothing
    passed += relayed.toAgent + relayed.toClient
    if (session.resumes && session.agent !== undefined && losses.has(why)) detached.add(session)
    later(() => {
      tell(session, why, rule ?? "")
      // Those who wait for it have logs to write: after everybody has been told who is still connected.
      later(() => {
        Deferred.unsafeDone(session.settled, Effect.void)
        Deferred.unsafeDone(session.ended, Effect.succeed({ why, rule, relayed }))
      })
    })
  }

  const fullFor = ({ machine, principal }: Pick<Session, "machine" | "principal">, room: Room): Full | undefined => {
    if (byId.size >= room.hub) return "hub"
    if (byToken.count(principal.tokenHash) >= room.identity) return "identity"
    return freeIndex(byMachine.get(machine)) === undefined ? "machine" : undefined
  }

  /** The session that a client has most likely lost, if it says that it is the same client. */
  const lostOf = ({ key, machine, principal }: Pick<Session, "key" | "machine" | "principal">): Live | undefined => {
    const heardBefore = now() - REPLACED_SILENCE
    let longest: Live | undefined
    for (const session of byToken.of(principal.tokenHash)) {
      if (key === undefined || session.key !== key || session.machine !== machine) continue
      if (session.heardAt <= heardBefore && session.heardAt < (longest?.heardAt ?? Infinity)) longest = session
    }
    return longest
  }

  const lanesOf = (tokenHash: string, rate: number): Relay.Lanes => {
    const shared = lanes.get(tokenHash) ?? { toAgent: pace.lane(rate), toClient: pace.lane(rate) }
    lanes.set(tokenHash, shared)
    return shared
  }

  return {
    open: (asked, room) => {
      const lost = fullFor(asked, room) === undefined ? undefined : lostOf(asked)
      if (lost !== undefined) end(lost, "replaced")
      const full = fullFor(asked, room)
      const index = freeIndex(byMachine.get(asked.machine))
      if (full !== undefined || index === undefined) return Either.left(full ?? "machine")
      const { machine, principal } = asked
      const id = ids.next(principal.tokenHash)
      const session: Live = {
        ...asked,
        id,
        index,
        settled: Deferred.unsafeMake(FiberId.none),
        ended: Deferred.unsafeMake(FiberId.none),
        agent: undefined,
        relay: undefined,
        said: 0,
        heardAt: now()
      }
      byId.set(id, session)
      const ofMachine = byMachine.get(machine)
      if (ofMachine === undefined) byMachine.set(machine, new Map([[index, session]]))
      else ofMachine.set(index, session)
      byToken.add(principal.tokenHash, session)
      lanesOf(principal.tokenHash, room.bandwidth)
      return Either.right(session)
    },
    find: (id) => byId.get(id),
    isOf: ids.isOf,
    waiting: (id, machine) => {
      const session = byId.get(id)
      return session?.machine === machine && session.agent === undefined ? session : undefined
    },
    pair: ({ id }, agent) => {
      const session = byId.get(id)
      if (session === undefined || session.agent !== undefined) return
      session.agent = agent.carrier
      agent.carrier.sendText(encode({ type: "session-start", wgPubKey: session.wgPubKey }))
      const principal = session.principal.id
      session.client.carrier.sendText(encode({ type: "ready", sessionIdx: session.index, principal }))
      session.relay = Relay.join(
        session.client,
        agent,
        {
          ended: (by) => end(session, by === "client" ? "client left" : "agent session ended"),
          offered: (text) => {
            if (!offersToResume(text)) session.resumes = false
          }
        },
        lanes.get(session.principal.tokenHash)
      )
      Deferred.unsafeDone(session.settled, Effect.void)
    },
    end: ({ id }, why, rule) => {
      const session = byId.get(id)
      if (session !== undefined) end(session, why, rule)
    },
    hold: ({ id }, held) => byId.get(id)?.relay?.hold(held),
    endOfMachine: (machine, why, options) => {
      for (const session of byMachine.get(machine)?.values() ?? []) {
        if (options?.unjoined !== true || session.agent === undefined) end(session, why)
      }
    },
    ofToken: byToken.of,
    tokens: byToken.keys,
    later,
    amend: ({ id }, { principal, services }) => {
      const session = byId.get(id)
      if (session === undefined) return
      session.principal = principal
      session.services = services
    },
    countOf: (machine) => byMachine.get(machine)?.size ?? 0,
    size: () => byId.size,
    all: () => byId.values(),
    detached,
    relayed: () => {
      let total = passed
      for (const { relay } of byId.values()) total += (relay?.relayed.toAgent ?? 0) + (relay?.relayed.toClient ?? 0)
      return total
    },
    look: () => {
      const at = now()
      let total = passed
      for (const session of byId.values()) {
        const { toAgent, toClient } = session.relay?.relayed ?? nothing
        total += toAgent + toClient
        if (toAgent === session.said) continue
        session.said = toAgent
        session.heardAt = at
      }
      const relayed = total - passedBefore
      passedBefore = total
      return { relayed, paced: pace.takeStops() }
    },
    setBandwidth: (of) => {
      for (const { principal } of byId.values()) {
        const shared = lanes.get(principal.tokenHash)
        const rate = of(principal)
        shared?.toAgent.setRate(rate)
        shared?.toClient.setRate(rate)
      }
    }
  }
}

/** `node` names the hub in the ids of its sessions: 8 hex characters. */
export const layer = (node: string): Layer.Layer<Sessions> =>
  Layer.effect(
    Sessions,
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      return make(SessionId.make(node, yield* HubKey), () => clock.unsafeCurrentTimeMillis())
    })
  )
