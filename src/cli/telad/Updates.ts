/** How `telad` is updated: its channel is kept in telad.yaml. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Paths from "../../store/Paths.ts"
import { Shell } from "../Shell.ts"
import type { Program } from "../UpdateWork.ts"
import { config } from "./AgentFlags.ts"

export const updates: Program = {
  name: "telad",
  flags: [config],
  store: (given) =>
    Effect.gen(function* () {
      const { cwd, env } = yield* Shell
      const named = yield* given.flag(config)
      const system = Path.join(Paths.systemFolder(env), "telad.yaml")
      const file = Option.match(named, {
        onSome: (path) => Path.resolve(cwd, path),
        onNone: () => (Fs.existsSync(system) ? system : undefined)
      })
      if (file === undefined) return undefined
      const UpdateStore = yield* Effect.promise(() => import("../../store/UpdateStore.ts"))
      return UpdateStore.make(file)
    }),
  keyFile: (file) => Effect.succeed(Paths.agentKeyFile(Path.dirname(file))),
  noFile:
    "-config is missing: give -config telad.yaml, or set TELAD_CONFIG; an agent that runs from flags keeps no channel",
  restart:
    "It is in force when telad is started anew; one that runs goes on as it is until then. A service has its own copy, and gets it by: telad service install"
}
