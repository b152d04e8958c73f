/**
 * What a service manager is told to run, whichever it is: {@link file://./Unit.ts}, {@link file://./Plist.ts} and
 * {@link file://./Task.ts} write it down for theirs. Pure.
 */
import * as Either from "effect/Either"
import { INSTANCE_NAME_CHARACTERS } from "../../protocol/Limits.ts"
import { quoted } from "../../protocol/Printable.ts"
import * as Quoting from "./Quoting.ts"
import { ServiceError } from "./ServiceError.ts"

/** The programs that run as services. */
export type ServiceProgram = "telad" | "telahubd"

/** `system`: from boot on, for the whole machine. `user`: for one user, from login on. */
export type ServiceScope = "system" | "user"

/**
 * Whose rights a system service has. `Own`: those of a user that systemd makes for it, to whom it gives the folder
 * /var/lib/`stateDirectory`. `Owner`: those of whoever owns its folder.
 */
export type RunsAs =
  | { readonly _tag: "Own"; readonly stateDirectory: string }
  | { readonly _tag: "Owner"; readonly uid: number; readonly gid: number }

/** A service. */
export interface Definition {
  readonly program: ServiceProgram
  /** `telad`, or `telad-NAME` for a further instance. */
  readonly name: string
  readonly scope: ServiceScope
  /** What people read in lists of services. */
  readonly description: string
  /** The command line: an absolute path, and its arguments. */
  readonly command: readonly [string, ...ReadonlyArray<string>]
  readonly environment: Readonly<Record<string, string>>
  /** A file in which people set further variables; it need not be there. */
  readonly environmentFile: string
  /** The folder with its configuration and state, which it writes. */
  readonly folder: string
  readonly runsAs: RunsAs
  /** How long it may take to leave, in milliseconds. */
  readonly leavesWithin: number
  /** Whether it may listen on ports below 1024. */
  readonly lowPorts: boolean
  /** The folders and files that it is read from. */
  readonly readsFrom: ReadonlyArray<string>
  /** Where its log goes, if the service manager keeps none. */
  readonly logFile: string | undefined
}

/** Whether an instance may be called this. Service managers make file and user names of it. */
export const isInstance = (text: string): boolean =>
  /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(text) && text.length <= INSTANCE_NAME_CHARACTERS

/** What {@link isInstance} asks for, as it goes on after a name. */
export const instanceRule = `is 1 to ${INSTANCE_NAME_CHARACTERS} lower-case letters, digits and dashes`

/** A service's name: that of its program, and of the instance if it is a further one. */
export const nameOf = (program: ServiceProgram, instance: string | undefined): string =>
  instance === undefined ? program : `${program}-${instance}`

/** What people call each program. */
export const titles: Readonly<Record<ServiceProgram, string>> = { telad: "Tela agent", telahubd: "Tela hub" }

/** What every file that we make for a service manager says, by which we know it again. */
export const mark = (program: ServiceProgram): string =>
  `Made by \`${program} service install\`, and made anew by the next one.`

/** Whether a file for a service manager is one that we made. */
export const isOurs = (text: string): boolean => /Made by `tela\w+ service install`/.test(text)

/** Refuses what no service manager can be told: names that are none, and control characters. */
export const check = (definition: Definition): Either.Either<void, ServiceError> =>
  Either.gen(function* () {
    const { command, environment, environmentFile, folder, logFile, name, program, readsFrom, runsAs } = definition
    if (name !== program && !(name.startsWith(`${program}-`) && isInstance(name.slice(program.length + 1)))) {
      yield* Either.left(new ServiceError({ problem: `${quoted(name)}: the name of an instance ${instanceRule}` }))
    }
    const others = [
      ...(runsAs._tag === "Own" ? [runsAs.stateDirectory] : []),
      ...(logFile === undefined ? [] : [logFile])
    ]
    const variables = Object.entries(environment).flat()
    for (const each of [...command, ...variables, environmentFile, folder, ...readsFrom, ...others]) {
      yield* Quoting.word(each)
    }
  })
