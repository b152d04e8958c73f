/**
 * `tela status`: the hub in five lines.
 */
import * as Effect from "effect/Effect"
import { printable } from "../../protocol/Printable.ts"
import * as Command from "../Command.ts"
import { ca } from "../NetworkFlags.ts"
import { print, printJson } from "../Shell.ts"
import { hub, json, token } from "./HubFlags.ts"
import * as HubStatus from "./HubStatus.ts"

export const command = Command.make(
  {
    name: "status",
    summary: "summarise the hub",
    flags: [hub, token, ca, json],
    examples: ["tela status -hub wss://hub.example.com -token TOKEN", "tela status -json"]
  },
  (given) =>
    Effect.gen(function* () {
      const asJson = yield* given.flag(json)
      const { hub: where, status } = yield* HubStatus.ask(given)
      if (asJson) return yield* printJson(HubStatus.statusJson(status))
      const { machines } = status
      const online = machines.filter((machine) => machine.agentConnected).length
      const services = machines.reduce((sum, machine) => sum + HubStatus.servicesOf(machine).length, 0)
      const sessions = machines.reduce((sum, machine) => sum + machine.sessionCount, 0)
      yield* print(
        [
          `Hub:       ${where}`,
          `Machines:  ${machines.length} registered, ${online} online`,
          `Services:  ${services} total`,
          `Sessions:  ${sessions} active`,
          `Timestamp: ${printable(status.timestamp ?? "-")}`
        ].join("\n")
      )
    })
)
