/**
 * How often somebody may ask: a rate with a burst, kept for each key (an identity, an address, a code). Pure: the time is
 * given. One number a key, the moment at which the key's burst is whole again; RATE_KEYS bounds them.
 */
import { RATE_KEYS } from "../protocol/Limits.ts"

/** Requests in a second over time, and how many at once. */
export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

export interface RateLimit {
  /** Takes one request of a key. 0 when it may go on, else the milliseconds after which it is worth asking again. */
  readonly take: (key: string, now: number) => number
}

/** Keys beyond `keys` are forgotten, the one that asked longest ago first, and begin with a whole burst again. */
export const make = (rate: Rate, keys = RATE_KEYS): RateLimit => {
  const interval = 1_000 / rate.perSecond
  const slack = (rate.burst - 1) * interval
  const wholeAt = new Map<string, number>()

  return {
    take: (key, now) => {
      const whole = Math.max(now, wholeAt.get(key) ?? now)
      const wait = whole - now - slack
      // Set anew, so that the map's order is that of asking.
      wholeAt.delete(key)
      wholeAt.set(key, wait > 0 ? whole : whole + interval)
      if (wholeAt.size > keys) {
        const [oldest] = wholeAt.keys()
        if (oldest !== undefined) wholeAt.delete(oldest)
      }
      return Math.max(0, Math.ceil(wait))
    }
  }
}
