/**
 * Brings the `auth:` block of a file into our form: entries that a person or the deployed hub wrote otherwise get a line
 * in our lists, with the comments above them, and what the block lacks is put where it ends.
 */
import * as Yaml from "yaml"
import type { SectionName } from "./AuthLine.ts"
import type { Comment, OddEntry, Scanned } from "./AuthScan.ts"
import * as AuthText from "./AuthText.ts"

/** An entry in another form: what it is called, and where it begins. */
export interface Odd {
  readonly key: string
  readonly line: number
}

/** Entries of one list: those of the text in their places, further ones behind them. Takes the comments that it uses. */
const place = (
  scanned: ReadonlyArray<AuthText.Entry | OddEntry>,
  odd: ReadonlyArray<Odd>,
  comments: Array<Comment>
): ReadonlyArray<AuthText.Entry> => {
  const byLine = new Map(odd.map(({ key, line }) => [line, key] as const))
  const placed = new Set<string>()
  const entries: Array<AuthText.Entry> = []
  for (const entry of scanned) {
    if ("key" in entry) {
      entries.push(entry)
      continue
    }
    const key = byLine.get(entry.line)
    if (key === undefined) continue
    placed.add(key)
    entries.push({ key, body: "", lead: entry.lead, trail: entry.trail })
  }
  for (const { key, line } of odd.toSorted((a, b) => a.line - b.line)) {
    if (placed.has(key)) continue
    const until = comments.findIndex((comment) => comment.line > line)
    const lead = comments.splice(0, until < 0 ? comments.length : until).map(({ text }) => text)
    entries.push({ key, body: "", lead: lead.join(""), trail: "" })
  }
  return entries
}

const sections: ReadonlyArray<SectionName> = ["identities", "machines"]

const textOf = (part: AuthText.Part): string => (part._tag === "Text" ? Buffer.from(part.bytes).toString() : "")

/** The parts with those that the block lacks. */
const complete = (parts: ReadonlyArray<AuthText.Part>, blockEnd: number): ReadonlyArray<AuthText.Part> => {
  const block = parts.slice(0, blockEnd)
  const last = block.at(-1)
  if (last?._tag === "Text" && !/(?:^|\n)$/.test(textOf(last))) block.push(AuthText.text("\n"))
  if (!block.some((part) => /(?:^|\n)auth:/.test(textOf(part)))) block.push(AuthText.text("auth:\n"))
  const has = (name: SectionName) => block.some((part) => part._tag === "Section" && part.name === name)
  if (!block.some((part) => part._tag === "Revision")) {
    const first = block.findIndex((part) => part._tag === "Section")
    block.splice(first < 0 ? block.length : first + 1, 0, { _tag: "Revision", trail: "" })
  }
  for (const name of sections) {
    if (!has(name)) block.push(AuthText.text(`  ${name}:\n`), { _tag: "Section", name })
  }
  return [...block, ...parts.slice(blockEnd)]
}

/** A file whose block has no lines of its own, such as one in JSON: printed anew without it. */
const withoutBlock = (content: string): string => {
  const document = Yaml.parseDocument(content)
  document.delete("auth")
  if (!Yaml.isMap(document.contents) || document.contents.items.length === 0) return ""
  document.contents.flow = false
  return String(document)
}

/** The file in our form; entries in another form have an empty body. `hasAuth` tells whether the file has the block at all. */
export const make = (
  content: string,
  scanned: Scanned,
  found: {
    readonly revision: number
    readonly hasAuth: boolean
    readonly identities: ReadonlyArray<Odd>
    readonly machines: ReadonlyArray<Odd>
  }
): AuthText.AuthText => {
  const comments = [...scanned.comments]
  const { blockEnd } = scanned
  const parts =
    blockEnd !== undefined
      ? complete(scanned.parts, blockEnd)
      : found.hasAuth
        ? complete([AuthText.text(withoutBlock(content))], 1)
        : complete(scanned.parts, scanned.parts.length)
  return AuthText.make({
    parts,
    revision: found.revision,
    identities: place(scanned.identities, found.identities, comments),
    machines: place(scanned.machines, found.machines, comments)
  })
}
