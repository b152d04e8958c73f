/** Who a hub of the kit knows: an owner, an agent that may register one machine, and alice, who may connect to it. */
import type * as Redacted from "effect/Redacted"
import * as Token from "../crypto/Token.ts"
import { makeSnapshot } from "../policy/Identity.ts"
import type { Identity, Role, Snapshot } from "../policy/Identity.ts"

export interface People {
  readonly tokens: Readonly<Record<"owner" | "agent" | "alice", Redacted.Redacted>>
  readonly owner: Identity
  readonly snapshot: Snapshot
}

/** Fresh tokens for all of them. `services` are those of alice's grant; all unless given. */
export const make = (machine: string, services?: ReadonlyArray<string>): People => {
  const tokens = { owner: Token.generate(), agent: Token.generate(), alice: Token.generate() }
  const identity = (id: keyof typeof tokens, role: Role = "user"): Identity => ({
    id,
    role,
    version: 1,
    ...Token.kept(tokens[id])
  })
  const owner = identity("owner", "owner")
  const snapshot = makeSnapshot(
    1,
    [owner, identity("agent"), identity("alice")],
    [
      { machine, permission: "register", id: "agent" },
      { machine, permission: "connect", id: "alice", ...(services && { services }) }
    ]
  )
  return { tokens, owner, snapshot }
}
