/**
 * Which service a command means, and which service manager looks after it on this computer.
 */
import * as Os from "node:os"
import * as Either from "effect/Either"
import { nameOf, type ServiceProgram, type ServiceScope } from "./Definition.ts"
import * as Launchd from "./Launchd.ts"
import type { Manager, Subject } from "./Manager.ts"
import * as Place from "./Place.ts"
import { ServiceError } from "./ServiceError.ts"
import * as Systemd from "./Systemd.ts"
import * as TaskScheduler from "./TaskScheduler.ts"

/** A service on this computer, installed or not. */
export interface Service {
  readonly program: ServiceProgram
  readonly name: string
  readonly scope: ServiceScope
  readonly place: Place.Place
  readonly manager: Manager
}

/** A command line about a service. */
export const commandLine = ({ name, program, scope }: Omit<Service, "place" | "manager">, verb: string): string =>
  [
    `${program} service ${verb}`,
    ...(scope === "user" ? ["-user"] : []),
    ...(name === program ? [] : [`-name ${name.slice(program.length + 1)}`])
  ].join(" ")

export interface Meant {
  readonly program: ServiceProgram
  /** Undefined for the one that bears the program's name. */
  readonly instance: string | undefined
  readonly scope: ServiceScope
  readonly env: Readonly<Record<string, string | undefined>>
  /** Node's name of the operating system. */
  readonly platform: string
}

type Env = Meant["env"]

const windowsUser = (env: Env): string => {
  const name = env["USERNAME"] || Os.userInfo().username
  return env["USERDOMAIN"] ? `${env["USERDOMAIN"]}\\${name}` : name
}

const managerOf = (platform: string, subject: Subject, env: Env): Manager | undefined => {
  switch (platform) {
    case "linux":
      return Systemd.make(subject)
    case "darwin":
      return Launchd.make(subject, process.getuid?.() ?? 0)
    case "win32":
      return TaskScheduler.make(subject, windowsUser(env))
    default:
      return undefined
  }
}

/** The service that is meant; fails where no service manager is known. On Windows every service is one of a user. */
export const find = ({ env, instance, platform, program, scope }: Meant): Either.Either<Service, ServiceError> => {
  const name = nameOf(program, instance)
  const which = { program, name, scope: platform === "win32" ? "user" : scope } as const
  const place = Place.of({ ...which, env, platform })
  const manager = managerOf(platform, { ...which, place }, env)
  return manager === undefined
    ? Either.left(
        new ServiceError({
          problem: `no service manager is known on ${platform}; have one of yours start ${program}, and again when it exits with code 75`
        })
      )
    : Either.right({ ...which, place, manager })
}
