/**
 * `service status`: what the service manager says of a service.
 */
import * as Effect from "effect/Effect"
import type { ServiceProgram } from "../../system/service/Definition.ts"
import * as Install from "../../system/service/Install.ts"
import * as ManagerCall from "../../system/service/ManagerCall.ts"
import * as Command from "../Command.ts"
import { print, printJson } from "../Shell.ts"
import * as ServiceFlags from "./ServiceFlags.ts"

/** The command of one of the programs. */
export const command = (program: ServiceProgram): Command.Command =>
  Command.make(
    {
      name: "status",
      summary: "say whether it is installed and runs",
      flags: [...ServiceFlags.naming, ServiceFlags.json],
      examples: [`${program} service status`]
    },
    (given) =>
      Effect.gen(function* () {
        const service = yield* ServiceFlags.read(given, program)
        const asJson = yield* given.flag(ServiceFlags.json)
        const state = yield* Install.status(service)
        const { manager, place } = service
        const shown = {
          service: manager.service,
          manager: manager.title,
          installed: state !== undefined,
          enabled: state?.enabled === true,
          running: state?.running === true,
          status: state?.status ?? "not installed",
          config: place.configFile,
          log: manager.log
        }
        const rows = Object.entries(shown).map(([name, value]) => `${`${name}:`.padEnd(11)}${value}`)
        yield* asJson ? printJson(shown) : print(rows.join("\n"))
      }).pipe(Effect.provide(ManagerCall.layer))
  )
