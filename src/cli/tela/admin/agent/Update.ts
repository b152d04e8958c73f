/**
 * `tela admin agent update`: has an agent update itself.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { UpdateAnswer, UpdateStatus } from "../../../../protocol/Management.ts"
import { oneLine } from "../../../../protocol/Printable.ts"
import * as Command from "../../../Command.ts"
import { print } from "../../../Shell.ts"
import { version } from "../ChannelWords.ts"
import * as UpdateWait from "../UpdateWait.ts"
import { agent, agentFlags } from "./AgentRequest.ts"

export const command = Command.make(
  {
    name: "update",
    summary: "have the agent update itself, and wait until it has",
    flags: [...agentFlags, version],
    examples: [
      "tela admin agent update -machine barn -hub wss://hub.example.com",
      "tela admin agent update -machine barn -version v0.9.1"
    ],
    notes: ["It concerns every machine of that agent. Only what is signed is installed."]
  },
  (given) =>
    Effect.gen(function* () {
      const wanted = Option.getOrUndefined(yield* given.flag(version))
      const { admin, ask, machine, tryAsk } = yield* agent(given)
      const said = wanted === undefined ? {} : { version: wanted }
      const { message = "updating", payload } = yield* ask("update", said, UpdateAnswer)
      yield* print(oneLine(`${machine}: ${message}`))
      yield* UpdateWait.follow({
        name: machine,
        version: payload.version,
        status: Effect.map(tryAsk("update-status", {}, UpdateStatus), (answer) => answer.payload),
        explain: admin.explain
      })
    })
)
