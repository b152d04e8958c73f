/**
 * Following an update that a hub or an agent has begun, to its end: the new version runs, or it is said why not.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { HubError } from "../../../client/HubError.ts"
import { UPDATE_FOLLOW_LOOK, UPDATE_FOLLOW_WAIT } from "../../../protocol/Limits.ts"
import type { UpdateStatus } from "../../../protocol/Management.ts"
import { oneLine } from "../../../protocol/Printable.ts"
import { Failed } from "../../Failure.ts"
import { note, print, type Shell } from "../../Shell.ts"

export interface Followed {
  /** Who is updated, in a sentence. */
  readonly name: string
  /** What is to run at the end; undefined when there is nothing to wait for. */
  readonly version: string | undefined
  readonly status: Effect.Effect<UpdateStatus, Failed | HubError>
  readonly explain: (error: HubError) => Failed
}

/** Failures that a restart explains. */
const passing: ReadonlySet<HubError["kind"]> = new Set(["failed", "offline", "throttled", "unanswered", "unreachable"])

const isOver = (state: string | undefined) => state === "failed" || state === "rolled-back"

/**
 * Succeeds when the version runs and is no more on trial; fails with the reason when it does not come to that. Deployed
 * programs know no trial and tell nothing of the last update, so that it is enough that they run.
 */
export const follow = ({ explain, name, status, version }: Followed): Effect.Effect<void, Failed, Shell> =>
  Effect.gen(function* () {
    if (version === undefined) return
    const begun = yield* Clock.currentTimeMillis
    let shown = ""
    while (true) {
      yield* Effect.sleep(UPDATE_FOLLOW_LOOK)
      const found = yield* status.pipe(
        Effect.catchIf(
          (error) => error._tag !== "Failed" && passing.has(error.kind),
          () => Effect.succeed(undefined)
        ),
        Effect.mapError((error) => (error._tag === "Failed" ? error : explain(error)))
      )
      const last = found?.last?.version === version ? found.last : undefined
      if (last !== undefined && isOver(last.state)) {
        const how = last.state === "failed" ? "failed" : "came to nothing"
        return yield* new Failed({ message: `${name}: the update to ${version} ${how}: ${last.text}` })
      }
      // While there is something to be said of the update, it is not over.
      const isDone = found?.currentVersion === version && last === undefined
      if (isDone) return yield* print(oneLine(`${name}: running ${version}`))
      const state = last?.state ?? ""
      if (state !== shown && last !== undefined) yield* note(oneLine(`${name}: ${state}`))
      shown = state
      const minutes = UPDATE_FOLLOW_WAIT / 60_000
      if ((yield* Clock.currentTimeMillis) - begun > UPDATE_FOLLOW_WAIT) {
        return yield* new Failed({ message: `${name}: ${version} does not run after ${minutes} min; look at its log` })
      }
    }
  })
