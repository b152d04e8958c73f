/** How long agents and clients wait before they dial again. Pure: the caller brings the attempt and the chance. */
import { RECONNECT_BASE, RECONNECT_CAP } from "./Limits.ts"

/** Spreads a delay by a quarter in both directions; `chance` is in [0, 1). Milliseconds. */
export const jittered = (delay: number, chance: number): number => Math.round(delay * (0.75 + chance / 2))

/** The delay before attempt `attempt` (from 0): RECONNECT_BASE, doubling up to `cap`, jittered. Milliseconds. */
export const backoff = (attempt: number, chance: number, cap: number = RECONNECT_CAP): number =>
  jittered(Math.min(RECONNECT_BASE * 2 ** Math.min(attempt, 30), cap), chance)
