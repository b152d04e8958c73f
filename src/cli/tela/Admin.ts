/**
 * `tela admin`: a hub, its identities, their access, pairing codes, its record and its agents, from anywhere.
 */
import * as Command from "../Command.ts"
import * as Access from "./admin/Access.ts"
import * as Agent from "./admin/Agent.ts"
import * as History from "./admin/History.ts"
import * as Hub from "./admin/Hub.ts"
import * as PairCode from "./admin/PairCode.ts"
import * as Rotate from "./admin/Rotate.ts"
import * as Tokens from "./admin/Tokens.ts"

export const command = Command.group({
  name: "admin",
  summary: "manage a hub: identities, access, pairing codes, agents",
  subcommands: [
    Tokens.command,
    Access.command,
    Rotate.command,
    PairCode.command,
    History.command,
    Agent.command,
    Hub.command
  ],
  notes: ["All but `agent` needs the token of an owner or admin."]
})
