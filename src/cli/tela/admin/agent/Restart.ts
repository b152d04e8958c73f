/**
 * `tela admin agent restart`: starts an agent anew, and waits until it is back.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { oneLine } from "../../../../protocol/Printable.ts"
import * as Command from "../../../Command.ts"
import { print } from "../../../Shell.ts"
import { agent, agentFlags, returned } from "./AgentRequest.ts"

export const command = Command.make(
  {
    name: "restart",
    summary: "restart the agent, and wait until it is back",
    flags: agentFlags,
    examples: ["tela admin agent restart -machine barn -hub wss://hub.example.com"],
    notes: ["It concerns every machine of that agent. Connections through it end."]
  },
  (given) =>
    Effect.gen(function* () {
      const asked = yield* agent(given)
      const before = yield* asked.presence
      const { message = "restarting" } = yield* asked.ask("restart", {}, Schema.Unknown)
      yield* print(oneLine(`${asked.machine}: ${message}`))
      const after = yield* returned(asked, before)
      if (after !== undefined) yield* print(`${asked.machine}: back after ${(after / 1_000).toFixed(1)} s`)
    })
)
