/** A hub's file with 10,000 identities and 50,000 grants. */
import { createHash } from "node:crypto"

export const IDENTITIES = 10_000
export const MACHINES = 10_000
export const GRANTS = 50_000

/** The owner is one of them. */
export const userOf = (index: number): string => `user-${index % (IDENTITIES - 1)}`
export const machineOf = (index: number): string => `machine-${index % MACHINES}`

const digest = (token: string) => createHash("sha256").update(token).digest("hex")

/** The text of the file; only the owner has a token that somebody knows. */
export const text = (ownerToken: string): string => {
  const identity = (id: string, role: string, token: string) =>
    `    ${id}: ${JSON.stringify({ role, token: `sha256:${digest(token)}`, prefix: token.slice(0, 8) })}`
  const grants = (machine: number) =>
    Array.from({ length: GRANTS / MACHINES }, (_, grant) => ({
      id: userOf(machine + grant * 997),
      ...(grant === 0 && { services: ["ssh", "postgres"] })
    }))
  return [
    "hubId: 6d1f4e0e-3c67-4c53-9e0a-5f5a4d6a9b11",
    "auth:",
    "  revision: 1",
    "  identities:",
    identity("owner", "owner", ownerToken),
    ...Array.from({ length: IDENTITIES - 1 }, (_, index) => identity(userOf(index), "user", `token of ${index}`)),
    "  machines:",
    ...Array.from(
      { length: MACHINES },
      (_, machine) => `    ${machineOf(machine)}: ${JSON.stringify({ connect: grants(machine) })}`
    ),
    ""
  ].join("\n")
}
