/**
 * One command of a program: what help says of it, the flags and positionals it takes, and what it does. A program is a
 * tree of them.
 */
import * as Effect from "effect/Effect"
import type { CommandShape } from "./Argv.ts"
import type { Failure, WrongUsage } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import type { Shell } from "./Shell.ts"

/** What the person gave, decoded on demand; a command reads all it needs before it does anything. */
export interface Given {
  /** Whether the flag stands on the command line; an environment variable does not count. */
  readonly has: (flag: Flags.Flag<unknown>) => boolean
  readonly flag: <A>(flag: Flags.Flag<A>) => Effect.Effect<A, WrongUsage>
  /** The value of a flag without which the command makes no sense. */
  readonly required: <A>(flag: Flags.OptionalFlag<A>) => Effect.Effect<A, WrongUsage>
  readonly word: <A>(positional: Flags.Positional<A>) => Effect.Effect<A, WrongUsage>
}

/** A command as the shell sees it. */
export interface Command extends CommandShape {
  /** One line for the list of commands. */
  readonly summary: string
  readonly flags: ReadonlyArray<Flags.FlagInfo>
  readonly placeholders: ReadonlyArray<string>
  /** Whole command lines, most useful first. */
  readonly examples: ReadonlyArray<string>
  /** What else is worth a line in help. */
  readonly notes: ReadonlyArray<string>
  readonly subcommands: ReadonlyArray<Command>
  /** Undefined for a group. */
  readonly run: ((flags: ReadonlyMap<string, string>, words: ReadonlyArray<string>) => Run) | undefined
}

type Run = Effect.Effect<void, Failure, Shell>

interface Description {
  readonly name: string
  readonly summary: string
  readonly examples?: ReadonlyArray<string>
  readonly notes?: ReadonlyArray<string>
  readonly subcommands?: ReadonlyArray<Command>
}

/** A command that does something. It may read the flags and positionals that it lists, and no others. */
export const make = (
  description: Description & {
    readonly flags?: ReadonlyArray<Flags.Flag<unknown>>
    readonly positionals?: ReadonlyArray<Flags.Positional<unknown>>
  },
  handler: (given: Given) => Run
): Command => {
  const { examples = [], flags = [], name, notes = [], positionals = [], subcommands = [], summary } = description
  return {
    name,
    summary,
    examples,
    notes,
    subcommands,
    flags: flags.map((flag) => flag.info),
    placeholders: positionals.map((positional) => positional.placeholder),
    positionals: positionals.length,
    run: (texts, words) => {
      const read = <A>(flag: Flags.Flag<A>): Effect.Effect<A, WrongUsage> =>
        flags.includes(flag)
          ? Flags.decodeFlag(flag, texts.get(flag.info.name))
          : Effect.dieMessage(`${name} reads -${flag.info.name}, which it does not list`)
      return handler({
        has: (flag) => texts.has(flag.info.name),
        flag: read,
        required: (flag) => Effect.flatMap(read(flag), (value) => Flags.required(flag, value)),
        word: (positional) => Flags.decodePositional(positional, words[positionals.indexOf(positional)])
      })
    }
  }
}

/** A command that only has subcommands. */
export const group = (description: Description & { readonly subcommands: ReadonlyArray<Command> }): Command => ({
  name: description.name,
  summary: description.summary,
  examples: description.examples ?? [],
  notes: description.notes ?? [],
  subcommands: description.subcommands,
  flags: [],
  placeholders: [],
  positionals: undefined,
  run: undefined
})
