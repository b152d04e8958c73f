/**
 * How a new token is handed to a person: once, with what to know of it, or bare for a script.
 */
import type * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { print, type Shell } from "./Shell.ts"

/** Prints a token. It is on stdout alone when `quiet`, so that `TOKEN=$(...)` works. */
export const show = (
  token: Redacted.Redacted,
  options: { readonly quiet: boolean; readonly before: string; readonly after: string }
): Effect.Effect<void, never, Shell> => {
  const { after, before, quiet } = options
  const value = Redacted.value(token)
  return print(quiet ? value : `${before}\n\n  ${value}\n\nSave this token now: it is shown only once. ${after}`)
}
