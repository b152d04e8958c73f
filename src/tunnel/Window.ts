/**
 * How many unacknowledged bytes a link may have on its carrier (docs/protocol.md, "Window"). Whatever the operating
 * system holds cannot be overtaken, so this bounds how long a keystroke waits behind a copy: small while an interactive
 * stream is active, large while only bulk streams are, and never less than the path needs.
 */
import {
  LINK_WINDOW_BULK,
  LINK_WINDOW_MAX,
  LINK_WINDOW_SPARSE,
  PROBE_DEADLINE,
  PROBE_RATE_BYTES_PER_MS,
  RECORD_DATA_BYTES,
  RECORD_FIRST_BYTES,
  RECORD_TIME,
  SMALL_CHUNK,
  SPARSE_HOLD
} from "../protocol/Limits.ts"

/** How much of the distance to a lower measurement the rate estimate goes at a time. */
const RATE_DECAY = 1 / 8

/** Times are milliseconds of one steady clock; positions are bytes. */
export class Window {
  #sparseUntil = Number.NEGATIVE_INFINITY
  /** Bytes a millisecond, and the shortest round trip seen on this carrier. */
  #rate = 0
  #roundTrip = Number.POSITIVE_INFINITY
  /** One measurement at a time: sent up to `position` at `at`, when `acknowledged` bytes had been. */
  #probe: { readonly position: number; readonly at: number; readonly acknowledged: number } | undefined

  /** A sparse stream, one that empties its small queue at each turn, was active. */
  sparse(now: number) {
    this.#sparseUntil = now + SPARSE_HOLD
  }

  sent(position: number, acknowledged: number, now: number) {
    if (this.#probe === undefined) this.#probe = { position, at: now, acknowledged }
  }

  acknowledged(position: number, now: number) {
    if (this.#probe === undefined || position < this.#probe.position) return
    const elapsed = Math.max(now - this.#probe.at, 0.01)
    const rate = (position - this.#probe.acknowledged) / elapsed
    this.#rate = rate > this.#rate ? rate : this.#rate - (this.#rate - rate) * RATE_DECAY
    this.roundTrip(elapsed)
    this.#probe = undefined
  }

  /** A round trip that was measured in another way. */
  roundTrip(elapsed: number) {
    this.#roundTrip = Math.min(this.#roundTrip, elapsed)
  }

  /** Bytes that may be unacknowledged at this moment. */
  size(now: number): number {
    const base = now < this.#sparseUntil ? LINK_WINDOW_SPARSE : LINK_WINDOW_BULK
    if (this.#rate === 0) return base
    return Math.min(LINK_WINDOW_MAX, Math.max(base, 2 * this.#rate * this.#roundTrip))
  }

  /** Data bytes that one record may have: what passes in RECORD_TIME, as far as it is known. */
  get recordBytes(): number {
    if (this.#rate === 0) return RECORD_FIRST_BYTES
    return Math.max(SMALL_CHUNK, Math.min(RECORD_DATA_BYTES, Math.floor(this.#rate * RECORD_TIME)))
  }

  /**
   * How long the peer may take for any word while so many bytes are under way to it. Milliseconds.
   *
   * However much that is, and whoever on the way holds it, the peer speaks while it has a path: every LINK_TICK as long as
   * records reach it, and after PROBE_AFTER when none do. So no word of it is behind more than one record of ours, and
   * silence for longer is no slow path.
   */
  patience(unacknowledged: number): number {
    // A path may have become slow since its rate was measured.
    const rate = this.#rate === 0 ? PROBE_RATE_BYTES_PER_MS : Math.min(this.#rate, PROBE_RATE_BYTES_PER_MS)
    const roundTrip = Number.isFinite(this.#roundTrip) ? this.#roundTrip : 0
    return PROBE_DEADLINE + 4 * roundTrip + Math.min(unacknowledged, RECORD_DATA_BYTES) / rate
  }
}
