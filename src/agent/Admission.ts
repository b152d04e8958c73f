/**
 * Whom the agent serves, and what it lets a session use: what the hub says and what the agent's own list says, together.
 * Pure, and asked twice: when a tunnel comes up and for every stream.
 */
import * as Either from "effect/Either"
import { fingerprintOfHex, type PublicKeyHex } from "../crypto/KeyPair.ts"
import type { SessionClient } from "../protocol/Control.ts"
import { isNamed, label, type Service } from "../protocol/Service.ts"
import type { MachineConfig } from "../store/AgentFile.ts"
import type { Target } from "../tunnel/Tunnel.ts"

/** A client that may be here. */
export interface Admitted {
  /** The identity that the hub vouched for. */
  readonly principal: string | undefined
  /** The name under which the agent's own list has the key. */
  readonly listedAs: string | undefined
  readonly services: ReadonlyArray<Service>
}

const restrict = (services: ReadonlyArray<Service>, names: ReadonlyArray<string> | undefined) =>
  names === undefined ? services : services.filter((service) => names.some((name) => isNamed(service, name)))

/** What the hub's word alone would let a session use; what the agent says of itself before it knows the client's key. */
export const offeredByHub = (machine: MachineConfig, client: SessionClient | undefined): ReadonlyArray<Service> =>
  restrict(machine.services, client?.services)

/**
 * Decides on the key that a handshake has proved. The other side of the result is the reason for a refusal, fit for the
 * peer to read.
 */
export const admit = (
  machine: MachineConfig,
  client: SessionClient | undefined,
  key: PublicKeyHex
): Either.Either<Admitted, string> => {
  const shown = fingerprintOfHex(key)
  if (client !== undefined && client.key !== key) {
    const vouched = client.key === undefined ? "no key" : fingerprintOfHex(client.key)
    return Either.left(`the hub asked for ${client.principal} with ${vouched}, but the client has ${shown}`)
  }
  const listed = machine.clients?.find((each) => each.key === key || each.key === shown)
  if (machine.clients !== undefined && listed === undefined) {
    return Either.left(`${shown} is not among the clients of "${machine.name}"`)
  }
  return Either.right({
    principal: client?.principal,
    listedAs: listed?.name,
    services: restrict(offeredByHub(machine, client), listed?.services)
  })
}

const meant = (services: ReadonlyArray<Service>, target: Target): Service | undefined =>
  services.find((service) => ("port" in target ? service.port === target.port : isNamed(service, target.service)))

/** The service that a stream is to reach, if the session may; else the reason why not. */
export const resolve = (
  machine: MachineConfig,
  services: ReadonlyArray<Service>,
  target: Target
): Either.Either<Service, string> => {
  const service = meant(services, target)
  if (service !== undefined) return Either.right(service)
  const exposed = meant(machine.services, target)
  if (exposed !== undefined) return Either.left(`this session may not use ${label(exposed)} (port ${exposed.port})`)
  const what = "port" in target ? `port ${target.port}` : `service ${JSON.stringify(target.service)}`
  return Either.left(`"${machine.name}" does not expose ${what}`)
}
