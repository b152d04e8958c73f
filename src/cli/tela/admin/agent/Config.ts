/**
 * `tela admin agent config`: one machine's entry of its agent's telad.yaml, without what is secret.
 */
import * as Effect from "effect/Effect"
import { ConfigAnswer } from "../../../../protocol/Management.ts"
import { oneLine } from "../../../../protocol/Printable.ts"
import * as Command from "../../../Command.ts"
import { Failed } from "../../../Failure.ts"
import { note, printJson } from "../../../Shell.ts"
import { agent, agentFlags } from "./AgentRequest.ts"

export const command = Command.make(
  {
    name: "config",
    summary: "show the machine's entry of its agent's configuration",
    flags: agentFlags,
    examples: ["tela admin agent config -machine barn -hub wss://hub.example.com"],
    notes: ["JSON, as `tela admin agent set` takes it. Tokens are not shown."]
  },
  (given) =>
    Effect.gen(function* () {
      const { ask, machine } = yield* agent(given)
      const { payload } = yield* ask("config-get", {}, ConfigAnswer)
      // Deployed agents answer with all of their machines.
      const entry = payload.machines?.find(({ name }) => name === machine)
      if (entry === undefined)
        return yield* new Failed({ message: `${machine}: the agent's configuration has no such machine` })
      yield* note(
        oneLine(`${machine} in ${payload.configPath ?? "its agent's file"}, registered at ${payload.hub ?? "the hub"}:`)
      )
      yield* printJson(entry)
    })
)
