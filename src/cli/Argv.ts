/**
 * What a command line means before any value is decoded: which command it names, and with which flags and positionals.
 * Flags are Go's: `-name value`, `-name=value` and `--name`, before or after positionals and subcommands; `--` ends them.
 * Pure. {@link file://./Flags.ts} decodes the values, each on its own, so that no value can be taken for a flag or a
 * command.
 */
import { didYouMean } from "../protocol/Nearest.ts"

/** What has to be known of a flag to find its value. */
export interface FlagShape {
  readonly name: string
  /** Shown in place of the value; undefined for a flag that takes none. */
  readonly placeholder: string | undefined
}

/** What has to be known of a command, and of those below it. */
export interface CommandShape {
  readonly name: string
  readonly flags: ReadonlyArray<FlagShape>
  /** How many positionals it takes; undefined for a group, which only has subcommands. */
  readonly positionals: number | undefined
  readonly subcommands: ReadonlyArray<CommandShape>
}

/** What was asked for. `path` holds the words of the command after the program's name. */
export type Parsed =
  | {
      readonly _tag: "Run"
      readonly path: ReadonlyArray<string>
      /** Each flag once, its last value; `true` or `false` for a flag without value. */
      readonly flags: ReadonlyMap<string, string>
      readonly positionals: ReadonlyArray<string>
    }
  | { readonly _tag: "Help"; readonly path: ReadonlyArray<string> }
  | { readonly _tag: "Version" }
  | { readonly _tag: "Wrong"; readonly path: ReadonlyArray<string>; readonly problem: string }

const helpFlags = new Set(["h", "help", "?"])

/** `true`, `false` and the other spellings that Go takes. */
const booleans: ReadonlyMap<string, string> = new Map([
  ...["1", "t", "T", "true", "TRUE", "True"].map((word): [string, string] => [word, "true"]),
  ...["0", "f", "F", "false", "FALSE", "False"].map((word): [string, string] => [word, "false"])
])

const flagPattern = /^--?([a-zA-Z?][a-zA-Z0-9-]*)(?:=(.*))?$/s

const findFlag = (command: CommandShape, name: string): FlagShape | undefined => {
  const own = command.flags.find((flag) => flag.name === name)
  if (own !== undefined) return own
  for (const child of command.subcommands) {
    const found = findFlag(child, name)
    if (found !== undefined) return found
  }
  return undefined
}

const flagsBelow = (command: CommandShape): ReadonlyArray<string> => [
  ...command.flags.map((flag) => flag.name),
  ...command.subcommands.flatMap(flagsBelow)
]

/** The command at the end of a path; undefined when a word of it names none. */
export const find = <C extends { readonly name: string; readonly subcommands: ReadonlyArray<C> }>(
  root: C,
  path: ReadonlyArray<string>
): C | undefined =>
  path.reduce<C | undefined>((command, word) => command?.subcommands.find((child) => child.name === word), root)

/** Names of commands are shorter: a longer word is a mistake of another kind, and perhaps a secret. */
const COMMAND_CHARACTERS = 24

/** What is said of words that are too many. They are not repeated: among them may be a token that was to be typed unseen. */
const tooMany = (path: ReadonlyArray<string>, takes: number): string =>
  `too many arguments: ${path.join(" ")} takes ${takes === 0 ? "none" : takes}`

/** Reads the words after the program's name. */
export const parse = (root: CommandShape, argv: ReadonlyArray<string>): Parsed => {
  let command = root
  const path: Array<string> = []
  const flags = new Map<string, string>()
  const positionals: Array<string> = []
  let help = false
  let version = false
  let problem: string | undefined
  let unknownFlag: string | undefined
  const wrong = (text: string) => {
    problem ??= text
  }

  /** Takes a flag, and says how many words after it were its value. */
  const takeFlag = (name: string, inline: string | undefined, next: string | undefined): number => {
    const flag = findFlag(command, name)
    if (flag === undefined || (name === "version" && inline === undefined && next === undefined)) {
      if (helpFlags.has(name)) help = true
      else if (name === "version") version = true
      else {
        unknownFlag ??= name
        // What follows was most likely meant as its value, and is no second mistake.
        return inline === undefined && isValue(next) ? 1 : 0
      }
      return 0
    }
    if (flag.placeholder === undefined) {
      const value = booleans.get(inline ?? "true")
      if (value === undefined) wrong(`-${name} is true or false, not "${inline}"`)
      else flags.set(name, value)
      return 0
    }
    if (inline !== undefined) {
      flags.set(name, inline)
      return 0
    }
    const nextFlag = flagPattern.exec(next ?? "")?.[1]
    if (next === undefined || next === "--" || (nextFlag !== undefined && isFlag(nextFlag))) {
      wrong(`-${name} needs a value: -${name} ${flag.placeholder}`)
      return 0
    }
    flags.set(name, next)
    return 1
  }
  const isValue = (word: string | undefined) =>
    word !== undefined && !word.startsWith("-") && !command.subcommands.some((child) => child.name === word)
  const isFlag = (name: string) => helpFlags.has(name) || findFlag(command, name) !== undefined

  const takeWord = (word: string) => {
    if (positionals.length === 0) {
      if (word === "help" && (command.subcommands.length > 0 || path.length === 0)) {
        help = true
        return
      }
      const child = command.subcommands.find((candidate) => candidate.name === word)
      if (child !== undefined) {
        command = child
        path.push(word)
        return
      }
    }
    positionals.push(word)
  }

  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? ""
    if (word === "--") {
      positionals.push(...argv.slice(i + 1))
      break
    }
    const match = flagPattern.exec(word)
    if (match?.[1] === undefined) takeWord(word)
    else i += takeFlag(match[1], match[2], argv[i + 1])
  }

  const isGroup = command.positionals === undefined
  const own = command.flags.map((flag) => flag.name)
  const foreign = unknownFlag ?? (isGroup ? undefined : [...flags.keys()].find((flag) => !own.includes(flag)))
  if (!help && !version && foreign !== undefined) {
    const hint = didYouMean(foreign, isGroup ? flagsBelow(command) : own).replace(/"(.+)"/, "-$1")
    return { _tag: "Wrong", path, problem: `unknown flag -${foreign}${hint}` }
  }
  const [first] = positionals
  if (first !== undefined && command.subcommands.length > 0 && (command.positionals ?? 0) === 0 && !version) {
    const words = command.subcommands.map((child) => child.name)
    const named = first.length > COMMAND_CHARACTERS ? "" : ` "${first}"${didYouMean(first, words)}`
    return { _tag: "Wrong", path, problem: `unknown command${named}` }
  }
  if (help) return { _tag: "Help", path }
  if (version) return { _tag: "Version" }
  if (problem !== undefined) return { _tag: "Wrong", path, problem }
  if (command.positionals === undefined) return { _tag: "Help", path }
  if (positionals.length > command.positionals) {
    return { _tag: "Wrong", path, problem: tooMany(path, command.positionals) }
  }
  return { _tag: "Run", path, flags, positionals }
}
