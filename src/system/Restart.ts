/** Starting a daemon anew, which only the program around it can do. */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"

/** It will not be done; the message says what to do first. */
export class RestartRefused extends Data.TaggedError("RestartRefused")<{ readonly message: string }> {}

/** Succeeds when the restart is certain to begin, which leaves whoever asked the time to be answered. */
export type Restart = Effect.Effect<void, RestartRefused>
