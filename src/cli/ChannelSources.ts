/** `channel sources` of the three programs: where release channels are (spec: cli 7.2, 7.3). */
import * as Effect from "effect/Effect"
import { known } from "../protocol/Channel.ts"
import { oneLine } from "../protocol/Printable.ts"
import * as Command from "./Command.ts"
import type { Given } from "./Command.ts"
import * as Flags from "./Flags.ts"
import { print, printJson } from "./Shell.ts"
import * as Updates from "./Updates.ts"
import type { Program } from "./UpdateWork.ts"

export const json = Flags.toggle("json", "print JSON")
export const name = Flags.argument("channel")
const url = Flags.argument("url")

/** A command line that says where a channel is. */
export const example = (program: Program, word: string, channel: string): string =>
  `${program.name} channel sources ${word} ${channel} https://hub.example.com/channels`

/** The channels that everybody knows by name, then others; each with where it is. */
const rows = (sources: Readonly<Record<string, string>>): ReadonlyArray<readonly [string, string]> => {
  const others = Object.keys(sources).filter((channel) => !known.includes(channel))
  return [...known, ...others.toSorted()].map((channel) => [channel, sources[channel] || "(none)"])
}

const list = (program: Program) => (given: Given) =>
  Effect.gen(function* () {
    const asJson = yield* given.flag(json)
    const work = yield* Updates.work
    const { sources } = yield* work.settings(program, given)
    if (asJson) return yield* printJson({ sources })
    const lines = [["CHANNEL", "BASE URL"] as const, ...rows(sources)]
    yield* print(lines.map(([channel, base]) => `${channel.padEnd(15)} ${oneLine(base)}`).join("\n"))
  })

const set = (program: Program, word: "set" | "add") =>
  Command.make(
    {
      name: word,
      summary: word === "set" ? "say where a channel is" : "the same as set",
      flags: program.flags,
      positionals: [name, url],
      examples: [example(program, word, "stable")]
    },
    (given) =>
      Effect.gen(function* () {
        const work = yield* Updates.work
        const channel = yield* work.channelName(yield* given.word(name), "<channel>")
        const base = yield* work.baseAddress(yield* given.word(url), "<url>")
        const store = yield* work.writable(program, given)
        yield* store.change({ source: { name: channel, base } })
        yield* print(`${channel} is at ${base} (${store.file}).`)
      })
  )

const remove = (program: Program) =>
  Command.make(
    {
      name: "remove",
      summary: "forget where a channel is",
      flags: program.flags,
      positionals: [name],
      examples: [`${program.name} channel sources remove nightly`]
    },
    (given) =>
      Effect.gen(function* () {
        const work = yield* Updates.work
        const channel = yield* work.channelName(yield* given.word(name), "<channel>")
        const store = yield* work.writable(program, given)
        const { sources } = yield* store.read
        if (!Object.hasOwn(sources, channel)) return yield* print(`${channel} has no source in ${store.file}.`)
        yield* store.change({ source: { name: channel, base: null } })
        yield* print(`${channel} has no source any more (${store.file}).`)
      })
  )

/** The commands of one of the programs. */
export const command = (program: Program): Command.Command => {
  const flags = [...program.flags, json]
  const base = `${program.name} channel sources`
  const listed = { name: "list", summary: "list where channels are", flags, examples: [`${base} list`] }
  return Command.make(
    {
      name: "sources",
      summary: "list, set or remove where channels are",
      flags,
      examples: [base],
      subcommands: [Command.make(listed, list(program)), set(program, "set"), set(program, "add"), remove(program)]
    },
    list(program)
  )
}
