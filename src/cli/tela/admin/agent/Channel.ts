/**
 * `tela admin agent channel`: where an agent's updates come from, and whether there is one.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ChannelAnswer, SourceQuery, SourcesAnswer, UpdateStatus } from "../../../../protocol/Management.ts"
import { oneLine } from "../../../../protocol/Printable.ts"
import * as Command from "../../../Command.ts"
import * as ChannelSources from "../../../ChannelSources.ts"
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

const sources = ChannelSources.commandOf({
  command: "tela admin agent channel",
  whose: "-machine barn",
  address: "https://dl.example.com",
  flags: agentFlags,
  notes: ["It concerns every machine of that agent. Only owners may set and remove."],
  always: [],
  read: (given) =>
    Effect.gen(function* () {
      const { ask } = yield* agent(given)
      const { payload } = yield* ask("channel-sources-list", {}, SourcesAnswer)
      return payload.sources ?? {}
    }),
  set: (given, channel, base) =>
    Effect.gen(function* () {
      const { ask, machine } = yield* agent(given)
      const { payload } = yield* ask("channel-sources-set", { name: channel, base }, SourceQuery)
      return `${machine}: ${channel} is at ${payload.base ?? base}`
    }),
  remove: (given, channel) =>
    Effect.gen(function* () {
      const { ask, machine } = yield* agent(given)
      yield* ask("channel-sources-remove", { name: channel }, Schema.Unknown)
      return `${machine}: ${channel} has no source any more`
    })
})

export const command = Command.make(
  {
    name: "channel",
    summary: "show the agent's release channel, or set it",
    flags: [...agentFlags, json],
    subcommands: [set, sources],
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
