/**
 * `tela admin`: a hub's identities, their access, pairing codes and record, from anywhere.
 */
import * as Command from "../Command.ts"
import * as Access from "./admin/Access.ts"
import * as History from "./admin/History.ts"
import * as PairCode from "./admin/PairCode.ts"
import * as Rotate from "./admin/Rotate.ts"
import * as Tokens from "./admin/Tokens.ts"

export const command = Command.group({
  name: "admin",
  summary: "manage a hub's identities, access and pairing codes",
  subcommands: [Tokens.command, Access.command, Rotate.command, PairCode.command, History.command],
  notes: ["All of it needs the token of an owner or admin."]
})
