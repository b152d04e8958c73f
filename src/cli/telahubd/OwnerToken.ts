/**
 * The one time that the owner's token is shown: on stdout, and never in the log.
 */
import type * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { print, type Shell } from "../Shell.ts"

/** Says where the file is and what the token is. */
export const announce = (path: string, token: Redacted.Redacted): Effect.Effect<void, never, Shell> =>
  print(
    [
      `Hub created: ${path}`,
      "",
      `Owner token: ${Redacted.value(token)}`,
      "",
      "Save it now: it is not stored and never shown again."
    ].join("\n")
  )
