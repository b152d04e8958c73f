/**
 * The variables of a service: few of those that whoever installs it has.
 */
import * as Effect from "effect/Effect"
import * as Placing from "./Placing.ts"
import type { ServiceError } from "./ServiceError.ts"
import type { Service } from "./Services.ts"

type Env = Readonly<Record<string, string | undefined>>

/**
 * What a service is given. One of the system has its own folder for what a user has in the state folder: the stores of
 * whoever installed it are not its to read.
 */
export const given = ({ place, program, scope }: Service, env: Env): Readonly<Record<string, string>> => {
  const { TELA_HOME, TELA_SYSTEM } = env
  const home = scope === "system" ? place.folder : TELA_HOME
  return {
    ...(home ? { TELA_HOME: home } : {}),
    ...(TELA_SYSTEM ? { TELA_SYSTEM } : {}),
    [`${program.toUpperCase()}_SUPERVISED`]: "1"
  }
}

/** By these an agent finds its way to the hub, and trusts it. */
const ofTheWay = [
  "HTTPS_PROXY",
  "https_proxy",
  "HTTP_PROXY",
  "http_proxy",
  "ALL_PROXY",
  "all_proxy",
  "NO_PROXY",
  "no_proxy",
  "TELA_CA",
  "NODE_EXTRA_CA_CERTS"
]

/** A sentence about variables that are set here and that the service has not, if there are any. */
export const missed = (
  { manager, place, program }: Service,
  env: Env
): Effect.Effect<ReadonlyArray<string>, ServiceError> =>
  Effect.gen(function* () {
    const set = program === "telad" ? ofTheWay.filter((name) => env[name]) : []
    if (set.length === 0 || (manager.readsVariables && (yield* Placing.exists(place.environmentFile)))) return []
    const way = manager.readsVariables ? `; where it needs them, write them into ${place.environmentFile}` : ""
    return [`set here, and not for the service: ${set.join(", ")}${way}`]
  })
