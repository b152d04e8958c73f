/** Says in the log that something fails, and that it works again: once each, however many connections notice. */
import * as Effect from "effect/Effect"
import { printable } from "../protocol/Printable.ts"

export interface Outage {
  /** It has failed. The reason comes from elsewhere, and is a sentence without its end. */
  readonly failed: (reason: string) => Effect.Effect<void>
  readonly worked: Effect.Effect<void>
}

/** `what` begins both lines. */
export const make = (what: string): Outage => {
  let said: string | undefined
  return {
    failed: (reason) =>
      Effect.suspend(() => {
        if (said === reason) return Effect.void
        said = reason
        return Effect.logWarning(`${what} fails: ${printable(reason)}`)
      }),
    worked: Effect.suspend(() => {
      if (said === undefined) return Effect.void
      said = undefined
      return Effect.logInfo(`${what} works again`)
    })
  }
}
