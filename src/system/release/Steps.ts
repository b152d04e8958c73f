/** The steps of an install, in their order. Whoever kills the program at any of them finds a version that works. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

export const steps = ["locked", "unpacking", "unpacked", "proved", "placed", "pointing", "switched", "cleaned"] as const
export type Step = (typeof steps)[number]

/** Told of each step when it is done; a test stops there. */
export class Steps extends Context.Reference<Steps>()("tela/system/release/Steps", {
  defaultValue: () => ({ reached: (_step: Step): Effect.Effect<void> => Effect.void })
}) {}

/** A step is done. */
export const reached = (step: Step): Effect.Effect<void> => Effect.flatMap(Steps, (steps) => steps.reached(step))
