/**
 * `tela admin agent channel`: where an agent's updates come from, and whether there is one.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ChannelAnswer, UpdateStatus } from "../../../../protocol/Management.ts"
import { oneLine } from "../../../../protocol/Printable.ts"
import * as Command from "../../../Command.ts"
import { print, printJson } from "../../../Shell.ts"
import { json } from "../../HubFlags.ts"
import * as ChannelWords from "../ChannelWords.ts"
import { agent, agentFlags } from "./AgentRequest.ts"

const set = Command.make(
  {
    name: "set",
    summary: "choose the agent's release channel",
    flags: [...agentFlags, ChannelWords.manifestBase],
    positionals: [ChannelWords.channel],
    examples: ["tela admin agent channel set stable -machine barn -hub wss://hub.example.com"],
    notes: ["It concerns every machine of that agent. -manifest-base is for owners."]
  },
  (given) =>
    Effect.gen(function* () {
      const wanted = yield* given.word(ChannelWords.channel)
      const base = Option.getOrUndefined(yield* given.flag(ChannelWords.manifestBase))
      const { ask, machine } = yield* agent(given)
      const said = { channel: wanted, ...(base !== undefined && { manifestBase: base }) }
      const { payload } = yield* ask("update-channel", said, ChannelAnswer)
      const { channel = wanted, manifestUrl = "" } = payload
      yield* print(oneLine(`${machine}: the channel is ${channel}${manifestUrl === "" ? "" : `, from ${manifestUrl}`}`))
    })
)

export const command = Command.make(
  {
    name: "channel",
    summary: "show the agent's release channel, or set it",
    flags: [...agentFlags, json],
    subcommands: [set],
    examples: ["tela admin agent channel -machine barn -hub wss://hub.example.com"]
  },
  (given) =>
    Effect.gen(function* () {
      const asJson = yield* given.flag(json)
      const { ask, machine } = yield* agent(given)
      const { payload } = yield* ask("update-status", {}, UpdateStatus)
      yield* asJson ? printJson(payload) : print(ChannelWords.block(machine, payload))
    })
)
