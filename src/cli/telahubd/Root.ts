/** The commands of `tela`, the operator's program. */
import * as Command from "../Command.ts"
import * as VersionCommand from "../VersionCommand.ts"

export const root = Command.group({
  name: "telahubd",
  summary: "the hub between agents and operators",
  subcommands: [VersionCommand.command("telahubd")]
})
