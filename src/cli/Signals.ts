/**
 * How a daemon ends: Ctrl-C and SIGTERM are its ordinary end, in order, said in the log, with exit code 0. The second of
 * them ends it at once (src/cli/Program.ts).
 */
import * as Effect from "effect/Effect"
import { Shell } from "./Shell.ts"

/** From here on an interruption is the daemon's ordinary end; `leave` is what it does then before it goes, within a bound. */
export const daemon = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  leave: Effect.Effect<unknown> = Effect.void
): Effect.Effect<A, E, R | Shell> =>
  Effect.flatMap(Shell, (shell) =>
    Effect.zipRight(
      shell.up,
      Effect.onInterrupt(effect, () => Effect.zipRight(leave, Effect.logInfo("stopped")))
    )
  )
