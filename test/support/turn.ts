import * as Effect from "effect/Effect"

/** One turn of the event loop: what was ready before it, sockets included, has been served after it. */
export const turn: Effect.Effect<void> = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
