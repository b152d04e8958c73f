/**
 * Joins a client's carrier and an agent's: what arrives on one leaves on the other, and nothing is read but the 7-byte
 * header. Plain calls, no Effect for a message. A carrier that is full pauses the one that fills it, so the hub holds at
 * most CARRIER_HIGH_WATER and one socket read for each direction.
 */
import { CloseCode, Refusal } from "../protocol/Close.ts"
import { typeOf } from "../protocol/Control.ts"
import { RELAYED_TEXT_BYTES } from "../protocol/Limits.ts"
import { countHop, isFrame } from "../protocol/RelayFrame.ts"
import { compact } from "../transport/Bytes.ts"
import type { Carrier, CarrierReceiver } from "../transport/Carrier.ts"
import type { Inbox } from "../transport/Inbox.ts"

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

/** Two carriers that are joined. */
export interface Joined {
  readonly relayed: Relayed
  /** From now on nothing passes, and `ended` is not called. */
  readonly unlink: () => void
}

/**
 * Relays until one end closes or breaks the rules, then calls `ended` once with that end; what to do with the other is the
 * caller's. An end that broke the rules has been told so.
 */
export const join = (client: Inbox, agent: Inbox, ended: (by: End) => void): Joined => {
  const relayed = { toAgent: 0, toClient: 0 }
  let over = false

  const end = (by: End) => {
    if (over) return
    over = true
    ended(by)
  }

  const receiver = (by: End, from: Carrier, to: Carrier, count: (bytes: number) => void): CarrierReceiver => {
    const violate = (code: number, reason: string) => {
      from.close(code, reason)
      end(by)
    }
    return {
      binary: (frame) => {
        if (over) return
        if (!isFrame(frame)) return violate(CloseCode.protocolError, Refusal.badFrame)
        if (!countHop(frame)) return
        count(frame.length)
        if (!to.send(compact(frame))) from.pause()
      },
      text: (text) => {
        if (over) return
        if (Buffer.byteLength(text) > RELAYED_TEXT_BYTES) return violate(CloseCode.tooBig, "text message too large")
        if (!relayedTypes[by].has(typeOf(text) ?? "")) return
        if (!to.sendText(text)) from.pause()
      },
      drain: () => to.resume(),
      closed: () => end(by)
    }
  }

  const a = client.carrier
  const b = agent.carrier
  client.handOver(receiver("client", a, b, (bytes) => (relayed.toAgent += bytes)))
  agent.handOver(receiver("agent", b, a, (bytes) => (relayed.toClient += bytes)))
  return {
    relayed,
    unlink: () => {
      over = true
    }
  }
}
