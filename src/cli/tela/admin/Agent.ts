/**
 * `tela admin agent`: agents on other machines, asked through the hub.
 */
import * as Command from "../../Command.ts"
import * as Channel from "./agent/Channel.ts"
import * as Config from "./agent/Config.ts"
import * as List from "./agent/List.ts"
import * as Logs from "./agent/Logs.ts"
import * as Restart from "./agent/Restart.ts"
import * as Set from "./agent/Set.ts"
import * as Update from "./agent/Update.ts"

export const command = Command.group({
  name: "agent",
  summary: "look after agents on other machines, through the hub",
  subcommands: [
    List.command,
    Config.command,
    Set.command,
    Logs.command,
    Restart.command,
    Update.command,
    Channel.command
  ],
  notes: ["For owners, admins, and whoever holds manage on the machine."]
})
