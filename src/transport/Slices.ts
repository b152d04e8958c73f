/** Work that may wait a few turns of the event loop, done in small portions, so that much of it holds nobody up. */
import * as Effect from "effect/Effect"
import { ENDING_SLICE } from "../protocol/Limits.ts"
import { collectIfUsed } from "./YoungHeap.ts"

/**
 * The next turn: what was ready, sockets and timers included, is served first. Whoever is interrupted meanwhile goes at
 * once; nothing is taken back, for that takes ten steps of a fiber and the turn comes anyway.
 */
export const turn: Effect.Effect<void> = Effect.async<void>((resume) => {
  const go = () => resume(Effect.void)
  setImmediate(() => (collectIfUsed() ? setImmediate(go) : go()))
})

/** Does what it is given at the end of this turn, or in one of the next, in order. */
export type Later = (work: () => void) => void

/** A queue that does ENDING_SLICE pieces of work a turn. It grows to what its users have in hand, and is theirs to bound. */
export const make = (): Later => {
  const waiting = new Set<() => void>()
  let left = ENDING_SLICE
  let counting = false

  const portion = () => {
    for (const work of waiting) {
      if (left === 0) return
      left--
      waiting.delete(work)
      work()
    }
  }

  const count = () => {
    if (counting) return
    counting = true
    setImmediate(() => {
      counting = false
      left = ENDING_SLICE
      portion()
      if (left < ENDING_SLICE) count()
    })
  }

  return (work) => {
    // Not at once: whoever has many things to end ends all of them before anything else is done.
    if (waiting.size === 0) queueMicrotask(portion)
    waiting.add(work)
    count()
  }
}
