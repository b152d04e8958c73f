/**
 * The credential stores of the person who runs a program, loaded when a command needs them.
 */
import * as Effect from "effect/Effect"
import type { CredentialStores } from "../store/CredentialStores.ts"
import { Shell } from "./Shell.ts"

export const stores: Effect.Effect<CredentialStores, never, Shell> = Effect.flatMap(Shell, ({ env }) =>
  Effect.map(
    Effect.promise(() => import("../store/CredentialStores.ts")),
    ({ make }) => make(env)
  )
)
