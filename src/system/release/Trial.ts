/**
 * The trial of a daemon's new version: it has to do what it is there for within a while, and go on for a moment, or the
 * version before is put in force again. Should it end before that, the launcher does the same after TRIAL_STARTS.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TRIAL_SETTLE, TRIAL_WINDOW } from "../../protocol/Limits.ts"
import type { Installation } from "./Installation.ts"

/** The trial came to nothing, and the version before is in force from the next start on. */
export class TrialFailed extends Data.TaggedError("TrialFailed")<{ readonly message: string }> {}

/** A version that runs, and may be on trial. */
export interface Trial {
  /**
   * Watches over it; done at once when it is not on trial. `healthy` succeeds when the daemon does what it is there for.
   * Fails when it did not, and the daemon is to be started anew.
   */
  readonly watch: (healthy: Effect.Effect<unknown>) => Effect.Effect<void, TrialFailed>
}

/** What goes wrong here must not stop a daemon that works. */
const said = <A, E extends { readonly message: string }>(
  effect: Effect.Effect<A, E>
): Effect.Effect<Option.Option<A>> =>
  effect.pipe(
    Effect.asSome,
    Effect.catchAll(({ message }) =>
      Effect.as(Effect.logWarning(`the trial of this version: ${message}`), Option.none())
    )
  )

/**
 * The installation is there to be read by whoever runs the program, and to be written by others. What cannot be counted
 * cannot be gone back from.
 */
const unwritable = (version: string, why: string) =>
  `${version} is on trial, which cannot be noted: ${why}. Nothing goes back by itself should it not work. ` +
  "Its trial is ended by: update -config FILE, as a user who may write there"

/** Of a program that was not installed from a release. */
export const none: Trial = { watch: () => Effect.void }

/** Counts a start of the version, if it is on trial: to be done before anything that could fail. */
export const begin = (installation: typeof Installation.Service, version: string): Effect.Effect<Trial> =>
  Effect.gen(function* () {
    const begun = installation.begin(version).pipe(
      Effect.catchIf(
        ({ kind }) => kind === "unwritable",
        ({ message }) => Effect.as(Effect.logWarning(unwritable(version, message)), false)
      )
    )
    const isOn = Option.getOrElse(yield* said(begun), () => false)
    if (!isOn) return none
    yield* Effect.logInfo(`${version} is new here, and on trial`)
    const settled = (healthy: Effect.Effect<unknown>) =>
      Effect.timeoutOption(Effect.zipRight(healthy, Effect.sleep(TRIAL_SETTLE)), TRIAL_WINDOW)
    return {
      watch: (healthy) =>
        Effect.gen(function* () {
          if (Option.isSome(yield* settled(healthy))) {
            yield* said(installation.confirm(version))
            return yield* Effect.logInfo(`${version} is healthy, and stays`)
          }
          const reason = `it was not healthy within ${TRIAL_WINDOW / 1_000} s`
          const back = Option.getOrElse(yield* said(installation.rollBack(version, reason)), () => false)
          if (!back) return yield* Effect.logWarning(`${version}: ${reason}, and there is no version to go back to`)
          return yield* new TrialFailed({ message: `${version} was rolled back: ${reason}` })
        })
    }
  })
