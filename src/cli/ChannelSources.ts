/**
 * `channel sources`: where release channels are (spec: cli 7.2, 7.3). The three programs have it for what they keep
 * themselves, `tela admin` for what a hub or an agent keeps.
 */
import * as Effect from "effect/Effect"
import { known } from "../protocol/Channel.ts"
import { oneLine } from "../protocol/Printable.ts"
import * as Command from "./Command.ts"
import type { Given } from "./Command.ts"
import { Failed, type Failure } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import { print, printJson, type Shell } from "./Shell.ts"
import * as Updates from "./Updates.ts"
import type { Program } from "./UpdateWork.ts"

export const json = Flags.toggle("json", "print JSON")
export const name = Flags.argument("channel")
const url = Flags.argument("url")

/** Where a hub has the channels that it serves. */
export const address = "https://hub.example.com/channels"

/** Base addresses by the names of channels. */
type Sources = Readonly<Record<string, string>>

/** What keeps sources, and how it is asked. Names and addresses are checked by then. */
export interface Keeper {
  /** The words before `sources`. */
  readonly command: string
  /** What says whose sources are meant, in an example: nothing, or flags. */
  readonly whose?: string
  /** Where a channel is, in an example. */
  readonly address: string
  readonly flags: ReadonlyArray<Flags.Flag<unknown>>
  readonly notes?: ReadonlyArray<string>
  /** Channels that are listed whether they have a source or not. */
  readonly always: ReadonlyArray<string>
  readonly read: (given: Given) => Effect.Effect<Sources, Failure, Shell>
  /** Keeps a source; the sentence to print. */
  readonly set: (given: Given, channel: string, base: string) => Effect.Effect<string, Failure, Shell>
  /** Forgets a source; the sentence to print. */
  readonly remove: (given: Given, channel: string) => Effect.Effect<string, Failure, Shell>
}

/** A command line: `sources`, or one below it. */
const line = ({ command, whose = "" }: Keeper, words = ""): string =>
  [command, "sources", words, whose].filter((part) => part !== "").join(" ")

const setting = (keeper: Keeper, word: string, channel: string): string =>
  line(keeper, `${word} ${channel} ${keeper.address}`)

/** The channels that are always listed, then others; each with where it is. */
const rows = ({ always }: Keeper, sources: Sources): ReadonlyArray<readonly [string, string]> => {
  const others = Object.keys(sources).filter((channel) => !always.includes(channel))
  return [...always, ...others.toSorted()].map((channel) => [channel, sources[channel] || "(none)"])
}

const list = (keeper: Keeper) => (given: Given) =>
  Effect.gen(function* () {
    const asJson = yield* given.flag(json)
    const sources = yield* keeper.read(given)
    if (asJson) return yield* printJson({ sources })
    const found = rows(keeper, sources)
    if (found.length === 0) return yield* print("No channel has a source there.")
    const lines = [["CHANNEL", "BASE URL"] as const, ...found]
    yield* print(lines.map(([channel, base]) => `${oneLine(channel).padEnd(15)} ${oneLine(base)}`).join("\n"))
  })

const set = (keeper: Keeper, word: "set" | "add") =>
  Command.make(
    {
      name: word,
      summary: word === "set" ? "say where a channel is" : "the same as set",
      flags: keeper.flags,
      positionals: [name, url],
      examples: [setting(keeper, word, "dev")],
      notes: keeper.notes ?? []
    },
    (given) =>
      Effect.gen(function* () {
        const work = yield* Updates.work
        const channel = yield* work.channelName(yield* given.word(name), "<channel>")
        const base = yield* work.baseAddress(yield* given.word(url), "<url>")
        yield* print(oneLine(yield* keeper.set(given, channel, base)))
      })
  )

const remove = (keeper: Keeper) =>
  Command.make(
    {
      name: "remove",
      summary: "forget where a channel is",
      flags: keeper.flags,
      positionals: [name],
      examples: [line(keeper, "remove nightly")],
      notes: keeper.notes ?? []
    },
    (given) =>
      Effect.gen(function* () {
        const work = yield* Updates.work
        const channel = yield* work.channelName(yield* given.word(name), "<channel>")
        yield* print(oneLine(yield* keeper.remove(given, channel)))
      })
  )

/** The commands about the sources that somebody keeps. */
export const commandOf = (keeper: Keeper): Command.Command => {
  const flags = [...keeper.flags, json]
  const listed = { name: "list", summary: "list where channels are", flags, examples: [line(keeper, "list")] }
  return Command.make(
    {
      name: "sources",
      summary: "list, set or remove where channels are",
      flags,
      examples: [line(keeper), setting(keeper, "set", "dev")],
      notes: keeper.notes ?? [],
      subcommands: [Command.make(listed, list(keeper)), set(keeper, "set"), set(keeper, "add"), remove(keeper)]
    },
    list(keeper)
  )
}

/** The sources that one of the programs keeps itself. */
const own = (program: Program): Keeper => ({
  command: `${program.name} channel`,
  address,
  flags: program.flags,
  always: known,
  read: (given) =>
    Effect.gen(function* () {
      const work = yield* Updates.work
      const { sources } = yield* work.settings(program, given)
      return sources
    }),
  set: (given, channel, base) =>
    Effect.gen(function* () {
      const work = yield* Updates.work
      const store = yield* work.writable(program, given)
      yield* store.change({ source: { name: channel, base } })
      return `${channel} is at ${base} (${store.file}).`
    }),
  remove: (given, channel) =>
    Effect.gen(function* () {
      const work = yield* Updates.work
      const store = yield* work.writable(program, given)
      const { sources } = yield* store.read
      if (!Object.hasOwn(sources, channel))
        return yield* new Failed({ message: `${channel} has no source in ${store.file}` })
      yield* store.change({ source: { name: channel, base: null } })
      return `${channel} has no source any more (${store.file}).`
    })
})

/** A command line that says where a channel is. */
export const example = (program: Program, channel: string): string => setting(own(program), "set", channel)

/** The commands of one of the programs. */
export const command = (program: Program): Command.Command => commandOf(own(program))
