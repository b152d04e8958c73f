import * as Effect from "effect/Effect"

/** Lets sockets and timers have their turn: between parts of what would hold the event loop as a whole. */
export const turn: Effect.Effect<void> = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})
