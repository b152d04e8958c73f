/**
 * `tela machines`: the machines that this token may see.
 */
import * as Effect from "effect/Effect"
import * as Command from "../Command.ts"
import { ca } from "../NetworkFlags.ts"
import { print, printJson } from "../Shell.ts"
import * as Table from "../Table.ts"
import { hub, json, token } from "./HubFlags.ts"
import * as HubStatus from "./HubStatus.ts"

export const command = Command.make(
  {
    name: "machines",
    summary: "list machines and what they offer",
    flags: [hub, token, ca, json],
    examples: ["tela machines -hub wss://hub.example.com -token TOKEN", "tela machines -json"]
  },
  (given) =>
    Effect.gen(function* () {
      const asJson = yield* given.flag(json)
      const { status } = yield* HubStatus.ask(given)
      if (asJson) return yield* printJson(HubStatus.statusJson(status))
      if (status.machines.length === 0) return yield* print("No machine is registered that you may see.")
      yield* print(
        Table.render(
          ["MACHINE", "STATUS", "SERVICES", "SESSION"],
          status.machines.map((machine) => [
            machine.id,
            HubStatus.connection(machine),
            HubStatus.servicesLine(machine),
            machine.sessionCount === 0 ? "-" : `${machine.sessionCount} active`
          ])
        )
      )
    })
)
