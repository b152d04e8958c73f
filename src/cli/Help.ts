/**
 * What `-h` prints: the use of one command on a screen of 24 lines and 80 columns.
 */
import type { Command } from "./Command.ts"

/** A terminal nobody has widened. */
export const COLUMNS = 80
export const LINES = 24

/** Two columns, the left one as wide as its widest entry, the right one wrapped. */
const table = (rows: ReadonlyArray<readonly [string, string]>): Array<string> => {
  const width = Math.max(0, ...rows.map(([left]) => left.length))
  const lines: Array<string> = []
  for (const [left, right] of rows) {
    let line = `  ${left.padEnd(width)}  `
    const indent = line.length
    for (const word of right.split(" ")) {
      if (line.length + word.length > COLUMNS) {
        lines.push(line.trimEnd())
        line = " ".repeat(indent)
      }
      line += `${word} `
    }
    lines.push(line.trimEnd())
  }
  return lines
}

const section = (title: string, lines: ReadonlyArray<string>): Array<string> =>
  lines.length === 0 ? [] : ["", `${title}:`, ...lines]

/** The commands by name alone, for a screen that has no room for more. */
const names = (commands: ReadonlyArray<Command>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = "Commands:"
  for (const [index, { name }] of commands.entries()) {
    const word = ` ${name}${index < commands.length - 1 ? "," : ""}`
    if (line.length + word.length > COLUMNS) {
      lines.push(line)
      line = " "
    }
    line += word
  }
  return [...lines, line]
}

const usageOf = (name: string, command: Command): string => {
  const parts = [name]
  if (command.run === undefined) parts.push("<command>")
  parts.push(...command.placeholders.map((name) => (name.endsWith("?") ? `[${name.slice(0, -1)}]` : `<${name}>`)))
  if (command.flags.length > 0 || command.subcommands.some((child) => child.flags.length > 0)) parts.push("[flags]")
  return parts.join(" ")
}

/** The help of the command that `path` names; `program` is the root's name. */
export const render = (command: Command, program: string, path: ReadonlyArray<string>): string => {
  const name = [program, ...path].join(" ")
  const flags = command.flags.map((flag): readonly [string, string] => [
    `-${flag.name}${flag.placeholder === undefined ? "" : ` ${flag.placeholder}`}`,
    flag.env.length === 0 ? flag.description : `${flag.description} (${flag.env.join(", ")})`
  ])
  const children = command.subcommands.map((child): readonly [string, string] => [child.name, child.summary])
  const linesWith = (commands: ReadonlyArray<string>) => [
    `${name}: ${command.summary}`,
    `Usage: ${usageOf(name, command)}`,
    ...commands,
    ...section("Flags", table(flags)),
    ...section(
      "Examples",
      command.examples.map((example) => `  ${example}`)
    ),
    ...(command.notes.length === 0 ? [] : ["", ...command.notes])
  ]
  const filled = (lines: ReadonlyArray<string>) => lines.filter((line) => line !== "")
  // One line is the prompt's; what comes near is still better read without spaces, and with less, than scrolled away.
  const full = linesWith(section("Commands", table(children)))
  if (full.length < LINES) return full.join("\n")
  const dense = filled(full)
  return (dense.length < LINES ? dense : filled(linesWith(names(command.subcommands)))).join("\n")
}
