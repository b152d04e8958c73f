/**
 * What stands between the network and a hub that knows nobody yet: how many sockets may be there without having said who
 * they are, in all and for one address, and until when. One Map and one look at all of them a second; no timer a socket.
 */
import type { Socket } from "node:net"
import * as ClientAddress from "./ClientAddress.ts"
import {
  UNAUTHENTICATED_SOCKETS,
  UNAUTHENTICATED_SOCKETS_PER_ADDRESS,
  UNAUTHENTICATED_TIMEOUT
} from "../protocol/Limits.ts"

/** Bounds of a guard; sockets by number, `timeout` in milliseconds. An IPv6 address is counted by its /64. */
export interface GuardLimits {
  readonly sockets: number
  readonly perAddress: number
  readonly timeout: number
}

export const defaults: GuardLimits = {
  sockets: UNAUTHENTICATED_SOCKETS,
  perAddress: UNAUTHENTICATED_SOCKETS_PER_ADDRESS,
  timeout: UNAUTHENTICATED_TIMEOUT
}

/** A socket under guard. */
export interface Guarded {
  readonly socket: Socket
  /** The network it counts for; undefined while that is a trusted proxy's, which stands for many. */
  network: string | undefined
  /** When it is destroyed, in milliseconds since the epoch. */
  deadline: number
  /** An answer is under way, or it is a WebSocket: closing takes more than cutting it. */
  inUse: boolean
}

/** Of whom there are too many: of one address, or in all. */
export type Crowd = "address" | "all"

export interface Guard {
  /** Takes a socket in, or says of whom there are too many. */
  readonly enter: (socket: Socket, address: string | undefined, now: number) => Guarded | Crowd
  /** Counts a socket for the address that a trusted proxy named; false when that one has too many. */
  readonly attribute: (guarded: Guarded, address: string) => boolean
  /** It has authenticated, or closed. Does nothing the second time. */
  readonly leave: (guarded: Guarded) => void
  /** Destroys what is past its deadline. */
  readonly expire: (now: number) => void
  /** Destroys what nobody is being served on. */
  readonly clear: () => void
  readonly size: () => number
}

export const make = (limits: GuardLimits): Guard => {
  const inside = new Set<Guarded>()
  const perNetwork = new Map<string, number>()

  const count = (network: string | undefined): boolean => {
    if (network === undefined) return true
    const held = perNetwork.get(network) ?? 0
    if (held >= limits.perAddress) return false
    perNetwork.set(network, held + 1)
    return true
  }
  const discount = (network: string | undefined) => {
    if (network === undefined) return
    const held = perNetwork.get(network) ?? 0
    if (held > 1) perNetwork.set(network, held - 1)
    else perNetwork.delete(network)
  }

  return {
    enter: (socket, address, now) => {
      const network = address === undefined ? undefined : ClientAddress.network(address)
      if (inside.size >= limits.sockets) return "all"
      if (!count(network)) return "address"
      const guarded: Guarded = { socket, network, deadline: now + limits.timeout, inUse: false }
      inside.add(guarded)
      return guarded
    },
    attribute: (guarded, address) => {
      if (!inside.has(guarded)) return false
      const network = ClientAddress.network(address)
      if (guarded.network === network) return true
      if (!count(network)) return false
      discount(guarded.network)
      guarded.network = network
      return true
    },
    leave: (guarded) => {
      if (inside.delete(guarded)) discount(guarded.network)
    },
    expire: (now) => {
      for (const guarded of inside) if (guarded.deadline <= now) guarded.socket.destroy()
    },
    clear: () => {
      for (const guarded of inside) if (!guarded.inUse) guarded.socket.destroy()
    },
    size: () => inside.size
  }
}
