/** How `tela` is updated: its channel is this user's, and kept where tokens and pins are (spec: cli 4.1). */
import * as Effect from "effect/Effect"
import * as Paths from "../../store/Paths.ts"
import { Shell } from "../Shell.ts"
import type { Program } from "../UpdateWork.ts"

export const updates: Program = {
  name: "tela",
  flags: [],
  store: () =>
    Effect.gen(function* () {
      const { env } = yield* Shell
      const [UpdateStore, Credentials] = yield* Effect.promise(() =>
        Promise.all([import("../../store/UpdateStore.ts"), import("../../store/Credentials.ts")])
      )
      return UpdateStore.make(Paths.credentialsFile(Paths.stateFolder(env)), Credentials.heading)
    }),
  noFile: "there is no file to keep a channel in",
  restart: undefined
}
