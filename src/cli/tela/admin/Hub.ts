/**
 * `tela admin hub`: the hub itself.
 */
import * as Command from "../../Command.ts"
import * as Channel from "./hub/Channel.ts"
import * as Logs from "./hub/Logs.ts"
import * as Restart from "./hub/Restart.ts"
import * as Status from "./hub/Status.ts"
import * as Update from "./hub/Update.ts"

export const command = Command.group({
  name: "hub",
  summary: "look after the hub itself",
  subcommands: [Status.command, Logs.command, Restart.command, Update.command, Channel.command],
  notes: ["What code the hub runs is for owners to choose; the rest is for admins, too."]
})
