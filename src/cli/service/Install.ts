/**
 * `service install`: makes a service of a program, with the configuration that it has.
 */
import * as Effect from "effect/Effect"
import type { ServiceProgram } from "../../system/service/Definition.ts"
import * as Install from "../../system/service/Install.ts"
import * as ManagerCall from "../../system/service/ManagerCall.ts"
import type { Plan } from "../../system/service/Plan.ts"
import * as ProgramCopy from "../../system/service/ProgramCopy.ts"
import * as ProgramFiles from "../../system/service/ProgramFiles.ts"
import * as Services from "../../system/service/Services.ts"
import type { Service } from "../../system/service/Services.ts"
import * as Command from "../Command.ts"
import type { Given } from "../Command.ts"
import { Failed, type Failure } from "../Failure.ts"
import type * as Flags from "../Flags.ts"
import { note, print, Shell } from "../Shell.ts"
import * as ServiceFlags from "./ServiceFlags.ts"

/** What differs between the programs. */
export interface Installing {
  readonly program: ServiceProgram
  readonly flags: ReadonlyArray<Flags.Flag<unknown>>
  readonly examples: ReadonlyArray<string>
  readonly notes: ReadonlyArray<string>
  /** What goes into the service's folder. */
  readonly plan: (given: Given, service: Service) => Effect.Effect<Plan, Failure, Shell>
}

/** This very program, as it was started. */
const started = Effect.suspend(() => {
  const { argv, execArgv, execPath } = process
  const [, script] = argv
  return script === undefined
    ? new Failed({ message: "it is not known from which file this program was started; start it as bin/..." })
    : Effect.succeed({ node: execPath, nodeArgs: execArgv, script })
})

const table = (rows: ReadonlyArray<Install.Row>): ReadonlyArray<string> => {
  const width = (of: (row: Install.Row) => string) => Math.max(...rows.map((row) => of(row).length))
  const [what, where] = [width((row) => row.what), width((row) => row.where)]
  return rows.map((row) => `  ${row.what.padEnd(what)}  ${row.where.padEnd(where)}  ${row.how}`)
}

const next = (service: Service, { changed, running }: Install.Installed): string => {
  if (!running) return `Start it: ${Services.commandLine(service, "start")}`
  return changed ? `It runs as it was before; to change that: ${Services.commandLine(service, "restart")}` : "It runs."
}

/** The command of one of the programs. */
export const command = ({ examples, flags, notes, plan: planOf, program }: Installing): Command.Command =>
  Command.make(
    {
      name: "install",
      summary: "make a service of it, which starts by itself",
      flags: [...flags, ...ServiceFlags.naming, ServiceFlags.dryRun],
      examples,
      notes
    },
    (given) =>
      Effect.gen(function* () {
        const { env } = yield* Shell
        const service = yield* ServiceFlags.read(given, program)
        const dryRun = yield* given.flag(ServiceFlags.dryRun)
        const here = yield* started
        const plan = yield* planOf(given, service)
        const copy = yield* ProgramCopy.make(here, service)
        const files = copy?.files ?? (yield* ProgramFiles.find(here))
        const installed = yield* Install.install(service, { plan, files, copy, env, dryRun })
        const { manager, place } = service
        const what = `${manager.service} (${manager.title})`
        const heading = dryRun
          ? `Nothing was done. This would be installed as ${what}:`
          : `${installed.changed ? "Installed" : "Unchanged:"} ${what}`
        yield* print([heading, ...table(installed.rows)].join("\n"))
        for (const sentence of installed.notes) yield* note(`Note: ${sentence}`)
        yield* print(dryRun ? `\n${place.definitionFile}:\n\n${installed.text.trimEnd()}` : next(service, installed))
      }).pipe(Effect.provide(ManagerCall.layer))
  )
