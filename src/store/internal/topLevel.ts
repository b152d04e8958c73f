/**
 * Changes one top-level key of a YAML file and leaves all other text as it is, comments included: files are large, or
 * hold what people wrote, and printing them anew would change all of it.
 */
import * as Yaml from "yaml"

/** Lines of a key, from its own to the last that belongs to it. */
interface Lines {
  readonly from: number
  readonly to: number
}

/** Where a key stands in block style; undefined when it does not. */
const find = (lines: ReadonlyArray<string>, key: string): Lines | undefined => {
  const from = lines.findIndex((line) => line.startsWith(`${key}:`))
  if (from < 0) return undefined
  let to = from
  for (let at = from + 1; at < lines.length; at++) {
    const line = lines[at] ?? ""
    if (/^[ \t]*(#.*)?\r?$/.test(line)) continue
    // A closing bracket may stand as far left as the key.
    if (!/^[ \t\]}]/.test(line)) break
    to = at
  }
  return { from, to }
}

/**
 * The text in which `change` has edited the value of a key; it gets the document of that key alone, which is new where
 * the text has no such key. The caller makes sure of the result: a text in flow style has no lines for a key.
 */
export const edit = (text: string, key: string, change: (document: Yaml.Document) => void): string => {
  const lines = text.split("\n")
  const found = find(lines, key)
  const block = found === undefined ? `${key}:\n` : lines.slice(found.from, found.to + 1).join("\n")
  const document = Yaml.parseDocument(block)
  if (!Yaml.isMap(document.get(key))) document.set(key, document.createNode({}))
  change(document)
  const made = document.toString({ lineWidth: 0 }).replace(/\n$/, "").split("\n")
  if (found !== undefined) return lines.toSpliced(found.from, found.to - found.from + 1, ...made).join("\n")
  return `${text === "" || text.endsWith("\n") ? text : `${text}\n`}${made.join("\n")}\n`
}
