/**
 * `service uninstall`: stops a service and takes it from the service manager. What it kept stays.
 */
import * as Effect from "effect/Effect"
import type { ServiceProgram } from "../../system/service/Definition.ts"
import * as Install from "../../system/service/Install.ts"
import * as ManagerCall from "../../system/service/ManagerCall.ts"
import * as Command from "../Command.ts"
import { print } from "../Shell.ts"
import * as ServiceFlags from "./ServiceFlags.ts"

/** The command of one of the programs. */
export const command = (program: ServiceProgram): Command.Command =>
  Command.make(
    {
      name: "uninstall",
      summary: "stop it and take it away; what it kept stays",
      flags: ServiceFlags.naming,
      examples: [`${program} service uninstall`]
    },
    (given) =>
      Effect.gen(function* () {
        const service = yield* ServiceFlags.read(given, program)
        yield* Install.uninstall(service)
        yield* print(
          `Uninstalled ${service.manager.service}.\nConfiguration, keys and state stay in ${service.place.folder}.`
        )
      }).pipe(Effect.provide(ManagerCall.layer))
  )
