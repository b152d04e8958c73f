/**
 * `service start`, `stop` and `restart`.
 */
import * as Effect from "effect/Effect"
import type { ServiceProgram } from "../../system/service/Definition.ts"
import * as Install from "../../system/service/Install.ts"
import * as ManagerCall from "../../system/service/ManagerCall.ts"
import type { Service } from "../../system/service/Services.ts"
import * as Command from "../Command.ts"
import type { Failure } from "../Failure.ts"
import { print, type Shell } from "../Shell.ts"
import * as ServiceFlags from "./ServiceFlags.ts"

const verbs = {
  start: { summary: "start it", done: "Started" },
  stop: { summary: "stop it; it drains first", done: "Stopped" },
  restart: { summary: "stop it and start it again", done: "Restarted" }
} as const

/** The commands of one of the programs; `prepare` is what is to be done before it starts. */
export const commands = (
  program: ServiceProgram,
  prepare: (service: Service) => Effect.Effect<void, Failure, Shell>
): ReadonlyArray<Command.Command> =>
  (["start", "stop", "restart"] as const).map((verb) =>
    Command.make(
      {
        name: verb,
        summary: verbs[verb].summary,
        flags: ServiceFlags.naming,
        examples: [`${program} service ${verb}`]
      },
      (given) =>
        Effect.gen(function* () {
          const service = yield* ServiceFlags.read(given, program)
          yield* Install.act(service, verb, verb === "stop" ? Effect.void : prepare(service))
          yield* print(`${verbs[verb].done} ${service.manager.service}.`)
        }).pipe(Effect.provide(ManagerCall.layer))
    )
  )
