/** The commands of `tela`, the operator's program. */
import * as Command from "../Command.ts"
import * as VersionCommand from "../VersionCommand.ts"

export const root = Command.group({
  name: "tela",
  summary: "reach services on machines that accept no inbound connection",
  subcommands: [VersionCommand.command("tela")]
})
