/** Steps of an installation that stop for ever at one of them, having said so on stdout: for a program to be killed there. */
import * as Effect from "effect/Effect"
import type { Steps } from "../../src/system/release/Steps.ts"

export const stoppingAt = (stop: string): typeof Steps.Service => {
  // A fiber that waits keeps no process alive.
  setInterval(() => {}, 60_000)
  return {
    reached: (step) =>
      step === stop
        ? Effect.zipRight(
            Effect.sync(() => process.stdout.write(`at ${step}\n`)),
            Effect.never
          )
        : Effect.void
  }
}
