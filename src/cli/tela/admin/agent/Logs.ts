/**
 * `tela admin agent logs`: the last lines that an agent logged of a machine.
 */
import * as Effect from "effect/Effect"
import { LogsAnswer } from "../../../../protocol/Management.ts"
import * as Command from "../../../Command.ts"
import * as LogPages from "../LogPages.ts"
import { agent, agentFlags } from "./AgentRequest.ts"

export const command = Command.make(
  {
    name: "logs",
    summary: "show what the agent logged of the machine",
    flags: [...agentFlags, ...LogPages.logFlags],
    examples: [
      "tela admin agent logs -machine barn -hub wss://hub.example.com",
      "tela admin agent logs -machine barn -n 200 -level warn",
      "tela admin agent logs -machine barn -follow"
    ]
  },
  (given) =>
    Effect.gen(function* () {
      const { admin, machine, tryAsk } = yield* agent(given)
      yield* LogPages.show(given, {
        name: machine,
        read: (query) => Effect.map(tryAsk("logs", query, LogsAnswer), ({ payload }) => payload),
        explain: admin.explain
      })
    })
)
