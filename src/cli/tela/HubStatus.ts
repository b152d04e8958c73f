/**
 * The hub's status as the commands show it: the members that people and scripts of the deployed client know.
 */
import * as Effect from "effect/Effect"
import type { MachineStatus, Status } from "../../protocol/HubApi.ts"
import { label } from "../../protocol/Service.ts"
import type { Given } from "../Command.ts"
import type { Failure } from "../Failure.ts"
import type { Shell } from "../Shell.ts"
import { explain, readHub, readToken } from "./HubFlags.ts"

/** The hub that was asked, and its answer. */
export interface Asked {
  readonly hub: string
  readonly status: Status
}

/** Asks the hub that the command line names. */
export const ask = (given: Given): Effect.Effect<Asked, Failure, Shell> =>
  Effect.gen(function* () {
    const hub = yield* readHub(given)
    const credential = yield* readToken(given, hub)
    const query = yield* Effect.promise(() => import("./Query.ts"))
    const status = yield* Effect.mapError(query.status({ hub, token: credential.token }), explain(credential))
    return { hub, status }
  })

/** Services by port. */
export const servicesOf = (machine: MachineStatus) => (machine.services ?? []).toSorted((a, b) => a.port - b.port)

/** `SSH:22, grafana:3000` */
export const servicesLine = (machine: MachineStatus): string =>
  servicesOf(machine)
    .map((service) => `${label(service)}:${service.port}`)
    .join(", ") || "-"

export const connection = (machine: MachineStatus): string => (machine.agentConnected ? "online" : "offline")

/** A machine as `-json` prints it; members that the hub does not know are left out. */
export const machineJson = (machine: MachineStatus) => ({
  id: machine.id,
  displayName: machine.displayName ?? undefined,
  hostname: machine.hostname ?? undefined,
  os: machine.os ?? undefined,
  agentVersion: machine.agentVersion ?? undefined,
  tags: machine.tags ?? undefined,
  location: machine.location ?? undefined,
  owner: machine.owner ?? undefined,
  lastSeen: machine.lastSeen ?? null,
  agentConnected: machine.agentConnected,
  sessionCount: machine.sessionCount,
  registeredAt: machine.registeredAt ?? null,
  services: servicesOf(machine).map(({ description, name, port, proto }) => ({ port, proto, name, description }))
})

/** The status as `-json` prints it. */
export const statusJson = (status: Status) => ({
  machines: status.machines.map(machineJson),
  timestamp: status.timestamp ?? null
})
