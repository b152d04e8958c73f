/**
 * `tela admin hub channel`: where the hub's updates come from, whether there is one, and what it hosts for others.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { oneLine } from "../../../../protocol/Printable.ts"
import * as Command from "../../../Command.ts"
import * as ChannelSources from "../../../ChannelSources.ts"
import { print, printJson } from "../../../Shell.ts"
import { json } from "../../HubFlags.ts"
import { hubFlags, open } from "../AdminFlags.ts"
import * as ChannelWords from "../ChannelWords.ts"
import * as Publish from "./Publish.ts"

const set = Command.make(
  {
    name: "set",
    summary: "choose the hub's release channel",
    flags: [...hubFlags, ChannelWords.manifestBase],
    positionals: [ChannelWords.channel],
    examples: ["tela admin hub channel set stable -hub wss://hub.example.com"],
    notes: ["For owners."]
  },
  (given) =>
    Effect.gen(function* () {
      const wanted = yield* given.word(ChannelWords.channel)
      const base = Option.getOrUndefined(yield* given.flag(ChannelWords.manifestBase))
      const admin = yield* open(given)
      const { channel, manifestUrl } = yield* admin.ask((api, headers) =>
        api.operations.setChannel({
          headers,
          payload: { channel: wanted, ...(base !== undefined && { manifestBase: base }) }
        })
      )
      yield* print(
        oneLine(`${admin.hub}: the channel is ${channel}${manifestUrl === "" ? "" : `, from ${manifestUrl}`}`)
      )
    })
)

const sources = ChannelSources.commandOf({
  command: "tela admin hub channel",
  address: ChannelSources.address,
  flags: hubFlags,
  notes: ["Only owners may set and remove."],
  always: [],
  read: (given) =>
    Effect.gen(function* () {
      const { ask } = yield* open(given)
      const found = yield* ask((api, headers) => api.operations.sources({ headers }))
      return found.sources ?? {}
    }),
  set: (given, channel, base) =>
    Effect.gen(function* () {
      const { ask, hub } = yield* open(given)
      const kept = yield* ask((api, headers) =>
        api.operations.setSource({ headers, path: { name: channel }, payload: { base } })
      )
      return `${hub}: ${channel} is at ${kept.base}`
    }),
  remove: (given, channel) =>
    Effect.gen(function* () {
      const { ask, hub } = yield* open(given)
      yield* ask((api, headers) => api.operations.removeSource({ headers, path: { name: channel } }))
      return `${hub}: ${channel} has no source any more`
    })
})

export const command = Command.make(
  {
    name: "channel",
    summary: "show the hub's release channel, set it, or fill it",
    flags: [...hubFlags, json],
    subcommands: [set, sources, Publish.command],
    examples: ["tela admin hub channel -hub wss://hub.example.com"]
  },
  (given) =>
    Effect.gen(function* () {
      const asJson = yield* given.flag(json)
      const admin = yield* open(given)
      // The hub asks the channel, which may be far away.
      const status = yield* Effect.mapError(
        admin.patient((api, headers) => api.operations.updateStatus({ headers })),
        admin.explain
      )
      yield* asJson ? printJson(status) : print(ChannelWords.block(admin.hub, status))
    })
)
