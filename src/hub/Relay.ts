/**
 * Joins a client's carrier and an agent's: what arrives on one leaves on the other, and nothing is read but the 7-byte
 * header. Plain calls, no Effect for a message. A carrier that is full pauses the one that fills it, and so does a lane
 * that is ahead of its rate, so the hub holds at most CARRIER_HIGH_WATER and one socket read for each direction.
 */
import { CloseCode, Refusal } from "../protocol/Close.ts"
import { typeOf } from "../protocol/Control.ts"
import { RELAYED_TEXT_BYTES } from "../protocol/Limits.ts"
import { countHop, isFrame } from "../protocol/RelayFrame.ts"
import { compact } from "../transport/Bytes.ts"
import type { Carrier, CarrierReceiver } from "../transport/Carrier.ts"
import type { Inbox } from "../transport/Inbox.ts"
import * as Pace from "./Pace.ts"

/** Which end something came from. */
export type End = "client" | "agent"

/** Bytes that have passed so far, headers included. */
export interface Relayed {
  readonly toAgent: number
  readonly toClient: number
}

/**
 * Text that an end may send its peer; everything else could be taken for the hub's own word (spec: wire 15, W18), or is
 * meant for proxies on the way, as `keepalive` is (spec: wire 1.6).
 */
const relayedTypes: Readonly<Record<End, ReadonlySet<string>>> = {
  client: new Set(["peer-endpoint"]),
  agent: new Set(["wg-pubkey", "peer-endpoint"])
}

/** The lane of each direction. */
export interface Lanes {
  readonly toAgent: Pace.Lane
  readonly toClient: Pace.Lane
}

/** Who hears what passes, besides the end that it is for. */
export interface Listener {
  /** Called once with the end that closed, or broke the rules. */
  readonly ended: (by: End) => void
  /** What the agent offers its client (`wg-pubkey`), the first time. */
  readonly offered?: ((text: string) => void) | undefined
}

const openLanes: Lanes = { toAgent: Pace.open, toClient: Pace.open }

/** Two carriers that are joined. */
export interface Joined {
  readonly relayed: Relayed
  /** Whether nothing more is taken from either end for now; what has been read still passes. */
  readonly hold: (held: boolean) => void
  /** From now on nothing passes, and `ended` is not called. */
  readonly unlink: () => void
}

/** One direction: what may hold its source back, and lets it go on. */
const makeFlow = (from: Carrier, to: Carrier, lane: Pace.Lane) => {
  let isFull = false
  let isAhead = false
  let isHeld = false
  const goOn = () => {
    if (!isFull && !isAhead && !isHeld) from.resume()
  }
  const turn = () => {
    isAhead = false
    goOn()
  }
  return {
    passed: (hasRoom: boolean, bytes: number) => {
      if (!hasRoom) isFull = true
      if (!lane.pass(bytes, turn)) isAhead = true
      if (isFull || isAhead || isHeld) from.pause()
    },
    drained: () => {
      isFull = false
      goOn()
    },
    hold: (held: boolean) => {
      if (held === isHeld) return
      isHeld = held
      if (held) from.pause()
      else goOn()
    },
    to,
    stop: () => lane.leave(turn)
  }
}

type Flow = ReturnType<typeof makeFlow>

/**
 * Relays until one end closes or breaks the rules; what to do with the other is the caller's. An end that broke the rules
 * has been told so.
 */
export const join = (client: Inbox, agent: Inbox, listener: Listener, lanes: Lanes = openLanes): Joined => {
  const relayed = { toAgent: 0, toClient: 0 }
  let over = false
  let { offered } = listener
  const toAgent = makeFlow(client.carrier, agent.carrier, lanes.toAgent)
  const toClient = makeFlow(agent.carrier, client.carrier, lanes.toClient)

  const stop = () => {
    over = true
    toAgent.stop()
    toClient.stop()
  }
  const end = (by: End) => {
    if (over) return
    stop()
    listener.ended(by)
  }

  /** `there` is what this end says, `back` what it is told. */
  const receiver = (by: End, { carrier }: Inbox, there: Flow, back: Flow, count: (bytes: number) => void) => {
    const violate = (code: number, reason: string) => {
      carrier.close(code, reason)
      end(by)
    }
    const received: CarrierReceiver = {
      binary: (frame) => {
        if (over) return
        if (!isFrame(frame)) return violate(CloseCode.protocolError, Refusal.badFrame)
        if (!countHop(frame)) return
        count(frame.length)
        there.passed(there.to.send(compact(frame)), frame.length)
      },
      text: (text) => {
        if (over) return
        if (Buffer.byteLength(text) > RELAYED_TEXT_BYTES) return violate(CloseCode.tooBig, "text message too large")
        const type = typeOf(text) ?? ""
        if (!relayedTypes[by].has(type)) return
        if (type === "wg-pubkey") {
          offered?.(text)
          offered = undefined
        }
        there.passed(there.to.sendText(text), text.length)
      },
      drain: back.drained,
      closed: () => end(by)
    }
    return received
  }

  client.handOver(receiver("client", client, toAgent, toClient, (bytes) => (relayed.toAgent += bytes)))
  agent.handOver(receiver("agent", agent, toClient, toAgent, (bytes) => (relayed.toClient += bytes)))
  const hold = (held: boolean) => {
    if (over) return
    toAgent.hold(held)
    toClient.hold(held)
  }
  return { relayed, hold, unlink: stop }
}
