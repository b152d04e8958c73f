/** Reads units as systemd.syntax(7) has them, as far as ours go. */

/** The words of a setting. Of specifiers only `%%` may stand there, which is a percent sign. */
export const wordsOf = (value: string): ReadonlyArray<string> =>
  [...value.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/gu)].map(([, quoted, plain]) => {
    const word = quoted === undefined ? (plain ?? "") : quoted.replace(/\\(.)/gu, "$1")
    if (word.replaceAll("%%", "").includes("%")) throw new Error(`a specifier: ${word}`)
    return word.replaceAll("%%", "%")
  })

/** What is written after a name, each time that it is. */
export const settings = (unit: string, name: string): ReadonlyArray<string> =>
  unit
    .split("\n")
    .filter((line) => line.startsWith(`${name}=`))
    .map((line) => line.slice(name.length + 1))

/** The command line that the unit starts, and the variables that it sets. */
export const started = (
  unit: string
): {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
} => {
  const [line = ""] = settings(unit, "ExecStart")
  const [command = "", ...args] = wordsOf(line.replace(/^:/, ""))
  const env = settings(unit, "Environment")
    .flatMap(wordsOf)
    .map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)] as const)
  return { command, args, env: Object.fromEntries(env) }
}
