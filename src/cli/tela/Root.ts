/** The commands of `tela`, the operator's program. */
import * as Channel from "../Channel.ts"
import * as Command from "../Command.ts"
import * as Update from "../Update.ts"
import * as VersionCommand from "../VersionCommand.ts"
import * as Admin from "./Admin.ts"
import * as Connect from "./Connect.ts"
import * as Login from "./Login.ts"
import * as Machines from "./Machines.ts"
import * as Pair from "./Pair.ts"
import * as Pin from "./Pin.ts"
import * as Services from "./Services.ts"
import * as Status from "./Status.ts"
import * as Trust from "./Trust.ts"
import { updates } from "./Updates.ts"
import * as Whoami from "./Whoami.ts"

export const root = Command.group({
  name: "tela",
  summary: "reach services on machines that accept no inbound connection",
  subcommands: [
    Connect.command,
    Machines.command,
    Services.command,
    Status.command,
    Trust.command,
    Login.login,
    Login.logout,
    Pair.command,
    Whoami.command,
    Pin.command,
    Admin.command,
    Update.command(updates),
    Channel.command(updates),
    VersionCommand.command("tela")
  ]
})
