/**
 * `version`. The launchers in bin answer it before anything is loaded; this is the same answer for whoever gets here.
 */
import * as Effect from "effect/Effect"
import { goarch, goos } from "../protocol/Platform.ts"
import { VERSION } from "../protocol/Version.ts"
import * as Command from "./Command.ts"
import * as Flags from "./Flags.ts"
import * as Shell from "./Shell.ts"

/** The machine in the names that releases use. */
const os = goos(process.platform)
const arch = goarch(process.arch)

/** `tela v1.0.0 linux/amd64` */
export const line = (program: string): string => `${program} ${VERSION} ${os}/${arch}`

const json = Flags.toggle("json", "print JSON")

/** The command of any of the three programs. */
export const command = (program: string): Command.Command =>
  Command.make(
    {
      name: "version",
      summary: "print the version",
      flags: [json],
      examples: [`${program} version`, `${program} version -json`]
    },
    (given) =>
      Effect.flatMap(given.flag(json), (wanted) =>
        wanted ? Shell.printJson({ program, version: VERSION, os, arch }) : Shell.print(line(program))
      )
  )
