/**
 * `service run`: runs here, in the foreground, what is installed: the program with the service's configuration.
 */
import * as Effect from "effect/Effect"
import type { ServiceProgram } from "../../system/service/Definition.ts"
import * as Install from "../../system/service/Install.ts"
import * as Command from "../Command.ts"
import type { Failure } from "../Failure.ts"
import type * as Flags from "../Flags.ts"
import type { Shell } from "../Shell.ts"
import * as ServiceFlags from "./ServiceFlags.ts"

/** The command of one of the programs; `serve` is the program itself, by the texts of its flags. */
export const command = (
  program: ServiceProgram,
  flags: ReadonlyArray<Flags.Flag<unknown>>,
  serve: (flags: ReadonlyMap<string, string>) => Effect.Effect<void, Failure, Shell>
): Command.Command =>
  Command.make(
    {
      name: "run",
      summary: "run here what is installed; stop the service first",
      flags: [...ServiceFlags.naming, ...flags],
      examples: [`${program} service run`]
    },
    (given) =>
      Effect.gen(function* () {
        const service = yield* ServiceFlags.read(given, program)
        yield* Install.installed(service)
        yield* serve(new Map([["config", service.place.configFile]]))
      })
  )
