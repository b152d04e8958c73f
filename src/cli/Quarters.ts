/** How far something is that takes its time, in quarters: more would be noise, and less leaves a person wondering. */
import * as Effect from "effect/Effect"

/** Tells of each quarter of `size` bytes once, when it is reached; `what` is the beginning of the line. */
export const quarters = (what: string, note: (text: string) => Effect.Effect<void>) => {
  let told = 0
  return (done: number, size: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const quarter = Math.floor((4 * done) / size)
      if (quarter <= told) return Effect.void
      told = quarter
      return note(`${what}: ${25 * quarter} % of ${size} bytes`)
    })
}
