/** The commands of `tela`, the operator's program. */
import * as Command from "../Command.ts"
import * as VersionCommand from "../VersionCommand.ts"

export const root = Command.group({
  name: "telad",
  summary: "offer services of this machine through a hub",
  subcommands: [VersionCommand.command("telad")]
})
