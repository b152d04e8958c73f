/** A computer of its own for tests of services: folders for its system and its user, and a manager that only answers. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import type { ServiceProgram, ServiceScope } from "../../../src/system/service/Definition.ts"
import * as Install from "../../../src/system/service/Install.ts"
import type { Plan } from "../../../src/system/service/Plan.ts"
import type { ProgramCopy } from "../../../src/system/service/ProgramCopy.ts"
import type { ServiceError } from "../../../src/system/service/ServiceError.ts"
import * as Services from "../../../src/system/service/Services.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { answering, type Asked } from "./managers.ts"

export interface Computer {
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
  readonly asked: Asked
  readonly service: (scope?: ServiceScope) => Services.Service
  readonly install: (
    plan: Effect.Effect<Plan, ServiceError>,
    more?: { readonly dryRun?: boolean; readonly scope?: ServiceScope; readonly copy?: ProgramCopy | undefined }
  ) => Effect.Effect<Install.Installed, ServiceError>
}

export const computer = (
  program: ServiceProgram,
  answers?: Parameters<typeof answering>[0]
): Effect.Effect<Computer, never, Scope.Scope> =>
  Effect.map(temporaryFolder, (folder) => {
    const env = {
      HOME: Path.join(folder, "home"),
      TELA_HOME: Path.join(folder, "home/.tela"),
      TELA_SYSTEM: Path.join(folder, "system"),
      SYSTEMD_UNIT_PATH: Path.join(folder, "units")
    }
    const asked = answering(answers)
    const service: Computer["service"] = (scope = "system") =>
      Either.getOrThrow(Services.find({ program, instance: undefined, scope, env, platform: "linux" }))
    return {
      folder,
      env,
      asked,
      service,
      install: (plan, { copy, dryRun = false, scope } = {}) =>
        Effect.flatMap(plan, (made) =>
          Install.install(service(scope), {
            plan: made,
            files: copy?.files ?? {
              command: ["/usr/bin/node", `/opt/tela/bin/${program}`],
              readsFrom: ["/opt/tela"],
              files: []
            },
            copy,
            env,
            dryRun
          })
        ).pipe(Effect.provide(asked.layer))
    }
  })

/** Everything below a folder: where a link leads, or what a file holds, with mode, inode and time of the last change. */
export const everything = (folder: string): ReadonlyArray<string> =>
  Fs.readdirSync(folder, { recursive: true, encoding: "utf8" })
    .toSorted()
    .map((name) => {
      const file = Path.join(folder, name)
      const stat = Fs.lstatSync(file)
      const held = stat.isSymbolicLink() ? Fs.readlinkSync(file) : stat.isFile() ? Fs.readFileSync(file, "latin1") : ""
      return [name, (stat.mode & 0o777).toString(8), stat.isDirectory() ? "" : stat.ino, held].join(" ")
    })

export const modeOf = (file: string): string => (Fs.statSync(file).mode & 0o777).toString(8)

/** How each row of an installation is described, by what it is. */
export const hows = ({ rows }: Install.Installed): Readonly<Record<string, string>> =>
  Object.fromEntries(rows.map(({ how, what }) => [what, how]))
