/**
 * Where an agent's credentials are kept: in the system's store, since agents outlive whoever set them up, or else in the
 * user's, apart from what the user has there.
 */
import * as Effect from "effect/Effect"
import type { Credentials } from "../../store/Credentials.ts"
import type { Failure } from "../Failure.ts"
import { note, type Shell } from "../Shell.ts"
import * as Stores from "../Stores.ts"

/** The store to write to. Where it is the user's, a note says so, and why. */
export const choose: Effect.Effect<Credentials, Failure, Shell> = Effect.gen(function* () {
  const { system, userAgent } = yield* Stores.stores
  // One that is there and cannot be used is to be mended, and not to be passed over.
  yield* system.list
  return yield* Effect.matchEffect(system.writable, {
    onSuccess: () => Effect.succeed(system),
    onFailure: ({ message }) =>
      Effect.as(
        note(`Note: only agents that you start yourself will find it, in ${userAgent.file}: ${message}`),
        userAgent
      )
  })
})
