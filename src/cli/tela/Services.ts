/**
 * `tela services`: what one machine offers, and how to reach it.
 */
import * as Effect from "effect/Effect"
import { didYouMean } from "../../protocol/Nearest.ts"
import { oneLine } from "../../protocol/Printable.ts"
import { label } from "../../protocol/Service.ts"
import * as Command from "../Command.ts"
import { Failed } from "../Failure.ts"
import { ca } from "../NetworkFlags.ts"
import { print, printJson } from "../Shell.ts"
import * as Table from "../Table.ts"
import { hub, json, machine, token } from "./HubFlags.ts"
import * as HubStatus from "./HubStatus.ts"

export const command = Command.make(
  {
    name: "services",
    summary: "list the services of one machine",
    flags: [hub, machine, token, ca, json],
    examples: ["tela services -hub wss://hub.example.com -machine web-01 -token TOKEN", "tela services -json"]
  },
  (given) =>
    Effect.gen(function* () {
      const name = yield* given.required(machine)
      const asJson = yield* given.flag(json)
      const { hub: where, status } = yield* HubStatus.ask(given)
      const found = status.machines.find(({ id }) => id === name)
      if (found === undefined) {
        const names = status.machines.map(({ id }) => id)
        const hint = didYouMean(name, names) || `; run: tela machines -hub ${where}`
        return yield* new Failed({ message: `you may see no machine "${name}" at ${where}${hint}` })
      }
      if (asJson) return yield* printJson(HubStatus.machineJson(found))
      yield* print(oneLine(`${found.id} (${HubStatus.connection(found)})`))
      const services = HubStatus.servicesOf(found)
      if (services.length === 0) return yield* print("It offers no service that you may use.")
      yield* print(
        Table.render(
          ["PORT", "SERVICE", "CONNECT"],
          services.map((service) => [
            String(service.port),
            label(service),
            `tela connect -hub ${where} -machine ${found.id}`
          ])
        )
      )
    })
)
