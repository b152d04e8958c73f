/** How long agents and clients wait before they dial again. Pure: the caller brings the attempt and the chance. */
import { RECONNECT_BASE, RECONNECT_CAP, RESUME_RETRY_CAP, RETRY_IN_MOST } from "./Limits.ts"

/** Spreads a delay by a quarter in both directions; `chance` is in [0, 1). Milliseconds. */
export const jittered = (delay: number, chance: number): number => Math.round(delay * (0.75 + chance / 2))

/** The delay before attempt `attempt` (from 0): RECONNECT_BASE, doubling up to `cap`, jittered. Milliseconds. */
export const backoff = (attempt: number, chance: number, cap: number = RECONNECT_CAP): number =>
  jittered(Math.min(RECONNECT_BASE * 2 ** Math.min(attempt, 30), cap), chance)

/** When to come back to a hub that asks for it in `retryIn`, whatever it says. Milliseconds. */
export const asked = (retryIn: number): number => Math.min(retryIn, RETRY_IN_MOST)

/**
 * The delay of whoever was to come back in `rest`, and has lost its connection before: so have all others that were, and the
 * further apart they were to come, the more they are. A part of the rest, and never more than RESUME_RETRY_CAP. Milliseconds.
 */
export const cutShort = (rest: number, chance: number): number =>
  Math.round(Math.max(0, Math.min(rest, RESUME_RETRY_CAP)) * chance)
