/** What an agent says of itself: in `register`, and to each client in `wg-pubkey` (spec: wire 2.3, 3.6). */
import * as Redacted from "effect/Redacted"
import type { KeyPair } from "../crypto/KeyPair.ts"
import type { DetachedLink, Register } from "../protocol/Control.ts"
import { DETACHED_NAMED_BYTES } from "../protocol/Limits.ts"
import { LISTED_ITEMS, REGISTER_BYTES } from "../protocol/Limits.ts"
import * as Management from "../protocol/Management.ts"
import { VERSION } from "../protocol/Version.ts"
import type { AgentState } from "../store/AgentState.ts"
import type { MachineConfig } from "../store/AgentFile.ts"
import * as Stream1 from "../tunnel/Stream1.ts"

/** Tunnels this agent speaks, best first. */
export const tunnels: ReadonlyArray<string> = [Stream1.name]

/**
 * `serviceGrants` tells our hub that this agent keeps sessions to what session-request says of services and streams;
 * `resumes`, that a client's streams can go on in another session, which is not said where none can.
 */
export const capabilities = (resumes: boolean): NonNullable<Register["capabilities"]> => ({
  tunnels,
  serviceGrants: true,
  ...(resumes && { resumes })
})

/** As many as fit: a hub does not read longer first messages. The others' clients are asked for their right as they come. */
const named = (resumable: ReadonlyArray<DetachedLink>): ReadonlyArray<DetachedLink> => {
  let left = DETACHED_NAMED_BYTES
  return resumable.filter((link) => (left -= Buffer.byteLength(JSON.stringify(link)) + 1) >= 0)
}

/** What more a register message may say. */
export interface RegisterOptions {
  /** Whether links of this agent can wait for their clients. */
  readonly resumes: boolean
  /** The names of all machines of the agent, if it takes requests of the hub. */
  readonly managed?: ReadonlyArray<string> | undefined
  /** It is said again, on the same socket: what the machine no longer has is said, too. */
  readonly again?: boolean | undefined
}

/** So many names are not worth a message that the hub would refuse: it then goes by what it has seen. */
const listed = (machines: ReadonlyArray<string>) =>
  machines.length <= LISTED_ITEMS && Buffer.byteLength(machines.join("")) + 3 * machines.length < REGISTER_BYTES / 4

/** The first message of a control socket. Members without content are left out. */
export const register = (
  machine: MachineConfig,
  identity: KeyPair,
  state: AgentState,
  resumable: ReadonlyArray<DetachedLink>,
  { again = false, managed, resumes }: RegisterOptions
): Register => {
  const { token } = machine
  const { displayName, location, owner } = again
    ? { displayName: machine.displayName ?? "", location: machine.location ?? "", owner: machine.owner ?? "" }
    : machine
  const machineRegistrationId = state.registrationIds.get(machine.name)
  return {
    type: "register",
    protocolVersion: 1,
    machineName: machine.name,
    agentId: state.agentId,
    ...(machineRegistrationId !== undefined ? { machineRegistrationId } : {}),
    ...(displayName !== undefined ? { displayName } : {}),
    hostname: machine.hostname,
    os: machine.os,
    agentVersion: VERSION,
    ...(machine.tags.length > 0 || again ? { tags: machine.tags } : {}),
    ...(location !== undefined ? { location } : {}),
    ...(owner !== undefined ? { owner } : {}),
    ...(token !== undefined ? { token: Redacted.value(token) } : {}),
    ports: machine.services.map((service) => service.port),
    services: machine.services.map(({ description, name, port, proto }) => ({
      port,
      proto,
      ...(name !== "" ? { name } : {}),
      ...(description !== "" ? { description } : {})
    })),
    capabilities: { ...capabilities(resumes), ...(managed !== undefined && Management.capability) },
    identity: identity.publicHex,
    ...(resumable.length > 0 ? { detached: named(resumable) } : {}),
    ...(managed !== undefined && listed(managed) ? { machines: managed } : {})
  }
}
