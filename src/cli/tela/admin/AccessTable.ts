/**
 * What an identity may do where, in words and as the table that `tela admin access` prints.
 */
import type { AccessEntry, MachineAccess } from "../../../protocol/api/Access.ts"
import * as Table from "../../Table.ts"
import { shownTime } from "./AdminFlags.ts"

/** `connect, register (services ssh, postgres; until 2027-01-31T12:00:00Z)` */
export const permissions = ({ expiresAt, permissions: held, services }: MachineAccess): string => {
  const limits = [
    ...(services === undefined || services.length === 0 ? [] : [`services ${services.join(", ")}`]),
    ...(expiresAt === undefined ? [] : [`until ${shownTime(expiresAt)}`])
  ]
  return `${held.join(", ")}${limits.length === 0 ? "" : ` (${limits.join("; ")})`}`
}

/** All of an identity's permissions in one line. */
export const everything = (role: string, machines: ReadonlyArray<MachineAccess>): string => {
  if (role === "owner" || role === "admin") return "* (all permissions)"
  if (role === "viewer") return "(view only)"
  if (machines.length === 0) return "(no permissions)"
  return machines.map((machine) => `${machine.machineId}: ${permissions(machine)}`).join(" | ")
}

/** The table. */
export const render = (access: ReadonlyArray<AccessEntry>): string =>
  Table.render(
    ["IDENTITY", "ROLE", "EXPIRES", "MACHINES"],
    access.map(({ expiresAt, id, machines, revokedAt, role }) => [
      id,
      role,
      revokedAt === undefined ? shownTime(expiresAt) : "revoked",
      everything(role, machines)
    ])
  )
