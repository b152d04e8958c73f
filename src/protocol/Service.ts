/**
 * Services a machine offers: what they are called, how they are written on a command line, how the hub completes what an
 * agent left out (spec: hub-api 1.3, cli 5.2).
 */
import * as Schema from "effect/Schema"

export const Port = Schema.Int.pipe(
  Schema.between(1, 65535),
  Schema.annotations({ identifier: "Port", description: "a port from 1 to 65535" })
)

/** One TCP service. `name` and `description` are empty when the operator gave none. */
export interface Service {
  readonly port: number
  readonly proto: string
  readonly name: string
  readonly description: string
}

const wellKnown = new Map([
  [22, "SSH"],
  [80, "HTTP"],
  [443, "HTTPS"],
  [3389, "RDP"],
  [5900, "VNC"],
  [8080, "HTTP-Alt"],
  [8443, "HTTPS-Alt"]
])

/** What a service on this port is called when nobody named it: the well-known label, or `port N`. */
const labelOfPort = (port: number): string => wellKnown.get(port) ?? `port ${port}`

/** What people see a service called: its own name, or its port's label. */
export const label = (service: Pick<Service, "port" | "name">): string => service.name || labelOfPort(service.port)

/** Whether a name given by a person or a grant means this service. Case does not matter, and a port number is a name too. */
export const isNamed = (service: Pick<Service, "port" | "name">, wanted: string): boolean => {
  const name = wanted.trim().toLowerCase()
  return name === label(service).toLowerCase() || name === String(service.port)
}

/**
 * A service's name as a grant keeps it. `port-3000` is how the deployed documentation writes a service without a name;
 * here a number names it.
 */
export const namedInGrant = (name: string): string => {
  const trimmed = name.trim()
  return /^port-(\d+)$/i.exec(trimmed)?.[1] ?? trimmed
}

/** A service as an agent may say it: the port, and what else it knows. */
export type SaidService = Partial<Service> & { readonly port: number }

/** Services as the hub republishes them: port 0 dropped, members completed, made from `ports` when none were given. */
export const normalise = (services: ReadonlyArray<SaidService>, ports: ReadonlyArray<number>): ReadonlyArray<Service> =>
  (services.length > 0 ? services : ports.map((port): SaidService => ({ port })))
    .filter((service) => service.port > 0)
    .map((service) => ({
      port: service.port,
      proto: (service.proto || "tcp").toLowerCase(),
      name: service.name || labelOfPort(service.port),
      description: service.description ?? ""
    }))
