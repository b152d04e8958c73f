/**
 * What the names in the agent's own list of clients lead to. The list says who may use which services by name; so it is
 * widened, without being touched, when another service gets such a name, or the name leads elsewhere. Pure.
 */
import { isNamed, type Service } from "../protocol/Service.ts"
import type { AllowedClient, MachineConfig } from "../store/AgentFile.ts"

/** Keys of a machine that say where its services lead. */
export const leading: ReadonlySet<string> = new Set(["services", "ports", "target", "gateway", "upstreams"])

/** Upstreams of the machine that listen on one of these ports, and so answer where nothing else does. */
const upstreamsOn = ({ upstreams = [] }: MachineConfig, ports: ReadonlyArray<number>): string =>
  upstreams
    .filter(({ port }) => ports.includes(port))
    .map(({ host, port, target }) => ` ${host ?? ""}:${port}=${target.host}:${target.port}`)
    .toSorted()
    .join("")

/** Where a service leads, so that two places are the same if and only if the texts are. */
const placeOf = (machine: MachineConfig, { port }: Service): string => {
  const { gateway, target } = machine
  if (gateway?.port !== port) return `${target}:${port}${upstreamsOn(machine, [port])}`
  // What a path leads to depends on all of them, and nothing on the time that a target has.
  const routes = gateway.routes.map((route) =>
    JSON.stringify([route.path, route.target, route.strip, route.hostHeader])
  )
  const ports = gateway.routes.map((route) => route.target)
  return `${target} ${routes.toSorted().join(" ")}${upstreamsOn(machine, ports)}`
}

const placesOf = (machine: MachineConfig, name: string): ReadonlyArray<string> =>
  machine.services.filter((service) => isNamed(service, name)).map((service) => placeOf(machine, service))

/** A listed client, and a name in its list that would lead it where it did not before. */
export interface Widened {
  readonly client: AllowedClient
  readonly name: string
}

/** What of the list in force would be widened if the machine were another one; undefined if nothing. */
export const widened = (now: MachineConfig, next: MachineConfig): Widened | undefined => {
  for (const client of now.clients ?? []) {
    for (const name of client.services ?? []) {
      const before = new Set(placesOf(now, name))
      if (placesOf(next, name).some((place) => !before.has(place))) return { client, name }
    }
  }
  return undefined
}
