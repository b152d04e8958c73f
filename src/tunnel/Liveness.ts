/**
 * Whether the other end of a link is still there: asked when it has been silent, and given up when it says nothing for
 * longer than the path can need. Looked at by a ticker; no timer and no fiber of its own.
 */
import { LINK_TICK, PROBE_AFTER, PROBE_IDLE } from "../protocol/Limits.ts"

/** Ticks that were missed tell that this machine slept, and that its silence was nobody's fault. */
const SLEPT = 4 * LINK_TICK

/** Times are milliseconds of one steady clock. */
export class Liveness {
  /** When anything came last. */
  heardAt: number
  #askedAt: number | undefined
  #tickedAt: number

  constructor(now: number) {
    this.heardAt = now
    this.#tickedAt = now
  }

  heard(now: number): void {
    this.heardAt = now
    this.#askedAt = undefined
  }

  /** What is to be done now: ask, or give up. `patience` is how long an answer may take. */
  tick(now: number, isBusy: boolean, patience: number): "probe" | "dead" | "wait" {
    const slept = now - this.#tickedAt > SLEPT
    this.#tickedAt = now
    if (this.#askedAt !== undefined && !slept) return now - this.#askedAt >= patience ? "dead" : "wait"
    if (!slept && now - this.heardAt < (isBusy ? PROBE_AFTER : PROBE_IDLE)) return "wait"
    this.#askedAt = now
    return "probe"
  }
}
