/**
 * Which local ports lead to which services: what `-ports` and `-services` say, held against what the agent offers
 * (spec: cli 3.1). Pure.
 */
import * as Either from "effect/Either"
import { isNamed, label } from "../protocol/Service.ts"
import type { OfferedService } from "../tunnel/Stream1.ts"
import { didYouMean } from "../protocol/Nearest.ts"

/** One part of `-ports`: a local port that a person asked for, and the machine's port behind it. */
export interface PortPair {
  readonly local: number
  readonly remote: number
}

/** A service to be bound. `local` is the port asked for; undefined leaves the choice to the listener. */
export interface Mapping {
  readonly local: number | undefined
  readonly service: OfferedService
}

const parsePort = (text: string): number | undefined => {
  const digits = text.trim()
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  return port >= 1 && port <= 65535 ? port : undefined
}

/**
 * What `-ports` asks for: a comma list of `P` (the same port on both sides) or `LOCAL:REMOTE`. The other side of the
 * result is a sentence that names the bad part.
 */
export const parsePorts = (text: string): Either.Either<ReadonlyArray<PortPair>, string> =>
  Either.gen(function* () {
    const pairs: Array<PortPair> = []
    for (const part of text.split(",")) {
      const sides = part.split(":").map(parsePort)
      const [local, remote = local] = sides
      if (local === undefined || remote === undefined || sides.length > 2 || sides.includes(undefined)) {
        const bad = JSON.stringify(part.trim())
        return yield* Either.left(`-ports: ${bad} is no port; write 22 or 2222:22, each from 1 to 65535`)
      }
      if (pairs.some((pair) => pair.local === local)) {
        return yield* Either.left(`-ports: local port ${local} is given twice`)
      }
      pairs.push({ local, remote })
    }
    return pairs
  })

/** The names that `-services` asks for: a comma list; empty parts are dropped. */
export const parseServices = (text: string): ReadonlyArray<string> =>
  text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")

const choices = (offered: ReadonlyArray<OfferedService>): string =>
  offered.length === 0 ? "nothing" : offered.map((service) => `${label(service)}:${service.port}`).join(", ")

/**
 * What to bind: the ports and the services asked for, or everything offered when nothing was. A port that is asked for
 * both ways is bound once, where `-ports` says. The other side of the result is a sentence with the choices.
 */
export const choose = (
  machine: string,
  offered: ReadonlyArray<OfferedService>,
  asked: { readonly ports: ReadonlyArray<PortPair>; readonly services: ReadonlyArray<string> }
): Either.Either<ReadonlyArray<Mapping>, string> =>
  Either.gen(function* () {
    if (offered.length === 0) return yield* Either.left(`${machine} offers no service that you may use`)
    const mappings: Array<Mapping> = []
    for (const { local, remote } of asked.ports) {
      const service = offered.find((each) => each.port === remote)
      if (service === undefined) {
        return yield* Either.left(`${machine} does not offer you port ${remote}; it offers ${choices(offered)}`)
      }
      mappings.push({ local, service })
    }
    const bound = new Set(asked.ports.map((pair) => pair.remote))
    for (const name of asked.services) {
      const found = offered.filter((each) => isNamed(each, name))
      if (found.length === 0) {
        const hint = didYouMean(name, offered.map(label))
        return yield* Either.left(
          `${machine} does not offer you a service "${name}"${hint === "" ? "; it" : `${hint} it`} offers ${choices(offered)}`
        )
      }
      for (const service of found) {
        if (!bound.has(service.port)) mappings.push({ local: undefined, service })
        bound.add(service.port)
      }
    }
    if (mappings.length > 0) return mappings
    return offered.map((service) => ({ local: undefined, service }))
  })
