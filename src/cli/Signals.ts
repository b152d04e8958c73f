/**
 * How a daemon ends: Ctrl-C and SIGTERM are its ordinary end, said in the log, with exit code 0.
 */
import * as Effect from "effect/Effect"
import { Shell } from "./Shell.ts"

/** From here on an interruption is the daemon's ordinary end. */
export const daemon = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Shell> =>
  Effect.flatMap(Shell, (shell) =>
    Effect.zipRight(
      shell.up,
      Effect.onInterrupt(effect, () => Effect.logInfo("stopped"))
    )
  )
