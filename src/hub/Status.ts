/** What /api/status tells of machines and of the hub (spec: hub-api 1.3): only what the asking identity may see. */
import * as Os from "node:os"
import type { Identity } from "../policy/Identity.ts"
import { covers } from "../policy/Policy.ts"
import { formatInstant } from "../protocol/Duration.ts"
import type { HubStatus, MachineStatus, Status } from "../protocol/HubApi.ts"
import { goarch, goos } from "../protocol/Platform.ts"
import type { Authority } from "./Authority.ts"
import type { Directory, Machine } from "./Directory.ts"
import type { Sessions } from "./Sessions.ts"

/** What a hub says of itself. */
export interface About {
  readonly hubId: string
  readonly name: string
  readonly version: string
  /** When it started, in milliseconds since the epoch. */
  readonly startedAt: number
}

const machineStatus = (
  { about, agent, lastSeen, name, registeredAt }: Machine,
  services: MachineStatus["services"],
  sessionCount: number,
  now: number
): MachineStatus => ({
  id: name,
  agentId: about.agentId,
  machineRegistrationId: about.registrationId,
  displayName: about.displayName ?? null,
  hostname: about.hostname ?? null,
  os: about.os ?? null,
  agentVersion: about.agentVersion ?? null,
  protocolVersion: about.protocolVersion,
  tags: about.tags,
  location: about.location ?? null,
  owner: about.owner ?? null,
  agentConnected: agent !== undefined,
  sessionCount,
  registeredAt: formatInstant(registeredAt),
  lastSeen: formatInstant(agent === undefined ? lastSeen : now),
  services,
  ...(about.capabilities !== undefined && { capabilities: about.capabilities })
})

const hubStatus = ({ startedAt, version }: About, now: number): HubStatus => ({
  arch: goarch(process.arch),
  goVersion: `node${process.versions.node}`,
  hostname: Os.hostname(),
  os: goos(process.platform),
  uptime: Math.floor((now - startedAt) / 1_000),
  startedAt: new Date(startedAt).toISOString(),
  version
})

/** The whole answer for one identity. */
export const make = (
  about: About,
  identity: Identity,
  now: number,
  services: {
    readonly authority: typeof Authority.Service
    readonly directory: typeof Directory.Service
    readonly sessions: typeof Sessions.Service
  }
): Status => {
  const machines = services.directory.list().flatMap((machine) => {
    const decision = services.authority.ask({ identity, permission: "view", machine: machine.name })
    if (!decision.permit) return []
    const visible = machine.about.services.filter((service) => covers(decision, service))
    return [machineStatus(machine, visible, services.sessions.countOf(machine.name), now)]
  })
  return {
    hub: hubStatus(about, now),
    hubId: about.hubId,
    ...(about.name !== "" && { hubName: about.name }),
    machines,
    timestamp: formatInstant(now)
  }
}
