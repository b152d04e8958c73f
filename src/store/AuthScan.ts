/**
 * Takes the text of telahubd.yaml apart, line by line: entries of the `auth:` block that are ours are read here, in
 * milliseconds for thousands of them; what a person wrote otherwise, and all other settings, is left to the yaml package.
 */
import * as Effect from "effect/Effect"
import type { MachineGrants } from "../policy/Identity.ts"
import { turn } from "../transport/Slices.ts"
import * as AuthLine from "./AuthLine.ts"
import type { SectionName, WrittenIdentity } from "./AuthLine.ts"
import * as AuthText from "./AuthText.ts"

/** Something that was read, and its line, counted from 1. */
export interface Found<A> {
  readonly value: A
  readonly line: number
}

/** An entry that only the yaml package can read: it has no key yet. */
export interface OddEntry {
  readonly line: number
  readonly lead: string
  readonly trail: string
}

/** A line of comment above something that will be written anew, and the line of that. */
export interface Comment {
  readonly line: number
  readonly text: string
}

/** A text that was taken apart. */
export interface Scanned {
  /** What the yaml package is to read, and which lines of the file its lines are. */
  readonly rest: string
  readonly restLines: ReadonlyArray<number>
  /** The whole file but entries; without a place for a list that the text does not have in our form. */
  readonly parts: ReadonlyArray<AuthText.Part>
  /** Entries in their order. */
  readonly identities: ReadonlyArray<AuthText.Entry | OddEntry>
  readonly machines: ReadonlyArray<AuthText.Entry | OddEntry>
  /** Of these, what differs from the known text. */
  readonly changedIdentities: ReadonlyMap<string, Found<WrittenIdentity>>
  readonly changedMachines: ReadonlyMap<string, Found<MachineGrants>>
  /** Comments among lines that are dropped, because they will be written in our form. */
  readonly comments: ReadonlyArray<Comment>
  /** Where missing parts of the block belong among {@link parts}; undefined when there is no such block in block style. */
  readonly blockEnd: number | undefined
  /** Whether something in the block is not in our form. */
  readonly odd: boolean
  /** Keys of entries in our form. */
  readonly named: { readonly identities: ReadonlySet<string>; readonly machines: ReadonlySet<string> }
  /** A key that stands twice. */
  readonly duplicate: { readonly key: string; readonly line: number } | undefined
}

/** Lines that are read before others get a turn. */
const TURN_LINES = 512

const authHeader = /^auth:[ \t]*(?:#.*)?\r?$/
const foreignAuth = /^(?:auth|"auth"|'auth')[ \t]*:/
const sectionHeader = /^ {2}(identities|machines):[ \t]*(?:#.*)?\r?$/
const revisionLine = /^ {2}revision:[ \t]*\d+([ \t]+#.*)?\r?$/
/** A comment behind a flow map. */
const trailing = /\}([ \t]+#[^}"']*)$/
const nothing = /^[ \t]*(?:#.*)?\r?$/

const indentOf = (line: string): number => {
  let at = 0
  while (line.charCodeAt(at) === 32) at++
  return at
}

/** The end of something that began above it, though it may stand as far left. */
const closes = (line: string, indent: number): boolean => /^[\]},-]/.test(line.slice(indent, indent + 1))

const isNamed = (entry: AuthText.Entry | OddEntry): entry is AuthText.Entry => "key" in entry

/** What is being gathered of a text. */
const makeScanner = (known: AuthText.AuthText) => {
  const rest: Array<string> = []
  const restLines: Array<number> = []
  const parts: Array<AuthText.Part> = []
  const entries = {
    identities: new Array<AuthText.Entry | OddEntry>(),
    machines: new Array<AuthText.Entry | OddEntry>()
  }
  const seen = { identities: new Set<string>(), machines: new Set<string>() }
  const changedIdentities = new Map<string, Found<WrittenIdentity>>()
  const changedMachines = new Map<string, Found<MachineGrants>>()
  const comments: Array<Comment> = []
  let verbatim: Array<string> = []
  let waiting: Array<string> = []
  let where: "above" | "block" | "foreign" | SectionName | "below" = "above"
  let inForeignBlock = false
  let blockEnd: number | undefined
  let odd = false
  let duplicate: Scanned["duplicate"]

  const leave = (line: string, number: number) => {
    rest.push(line)
    restLines.push(number)
  }
  const flush = () => {
    if (verbatim.length > 0) parts.push(AuthText.text(verbatim.map((line) => `${line}\n`).join("")))
    verbatim = []
  }
  /** Comments and blank lines belong to what follows them. */
  const takeWaiting = () => {
    const lines = waiting
    waiting = []
    return lines
  }
  const keep = (line: string) => void verbatim.push(...takeWaiting(), line)
  /** Leaves out a line that will be written anew; comments above it stay. */
  const drop = (number: number) => {
    odd = true
    for (const line of takeWaiting())
      if (line.trim() !== "") comments.push({ line: number, text: `    ${line.trim()}\n` })
  }
  const leadOf = () =>
    waiting.length === 0
      ? ""
      : takeWaiting()
          .map((line) => `${line}\n`)
          .join("")

  const readEntry = (section: SectionName, line: string, number: number): boolean => {
    const parsed = AuthLine.parse(line)
    if (parsed === undefined) return false
    const { body, key } = parsed
    if (AuthText.entryOf(known, section, key)?.body !== body) {
      if (section === "identities") {
        const value = AuthLine.readIdentity(key, body)
        if (value === undefined) return false
        changedIdentities.set(key, { value, line: number })
      } else {
        const value = AuthLine.readMachine(body)
        if (value === undefined) return false
        changedMachines.set(key, { value, line: number })
      }
    }
    if (seen[section].has(key)) duplicate ??= { key, line: number }
    seen[section].add(key)
    entries[section].push({ key, body, trail: parsed.trail, lead: leadOf() })
    return true
  }

  const endBlock = () => {
    flush()
    blockEnd = parts.length
    where = "below"
  }

  /** A line directly below `auth:`. */
  const child = (line: string, number: number) => {
    const section = sectionHeader.exec(line)?.[1]
    const revision = revisionLine.exec(line)
    if (!inForeignBlock && (section === "identities" || section === "machines")) {
      keep(line)
      flush()
      parts.push({ _tag: "Section", name: section })
      where = section
    } else if (!inForeignBlock && revision !== null) {
      verbatim.push(...takeWaiting())
      flush()
      parts.push({ _tag: "Revision", trail: revision[1] ?? "" })
      where = "block"
    } else {
      drop(number)
      where = "foreign"
    }
  }

  /** A line of a list: an entry, or what belongs to the one above it. */
  const inSection = (section: SectionName, line: string, number: number, indent: number): boolean => {
    if (indent === 4 && !closes(line, indent)) {
      if (readEntry(section, line, number)) return true
      odd = true
      entries[section].push({ line: number, lead: leadOf(), trail: trailing.exec(line)?.[1] ?? "" })
      return false
    }
    odd = true
    const last = entries[section].at(-1)
    if (last === undefined || isNamed(last)) entries[section].push({ line: number, lead: leadOf(), trail: "" })
    else entries[section][entries[section].length - 1] = { ...last, lead: last.lead + leadOf() }
    return false
  }

  const read = (line: string, number: number) => {
    if (where === "above" || where === "below") {
      const foreign = where === "above" && foreignAuth.test(line)
      leave(line, number)
      if (!foreign) return keep(line)
      if (authHeader.test(line)) {
        keep(line)
        where = "block"
        return
      }
      inForeignBlock = true
      where = "foreign"
      verbatim.push(...takeWaiting())
      return drop(number)
    }
    if (nothing.test(line)) {
      leave(line, number)
      waiting.push(line)
      return
    }
    const indent = indentOf(line)
    if (indent === 0 && !(closes(line, 0) && !line.startsWith("---"))) {
      leave(line, number)
      endBlock()
      return keep(line)
    }
    if (indent === 2 && !closes(line, indent)) {
      leave(line, number)
      return child(line, number)
    }
    if (where === "identities" || where === "machines") {
      if (!inSection(where, line, number, indent)) leave(line, number)
      return
    }
    leave(line, number)
    drop(number)
    where = "foreign"
  }

  const end = (endsWithNewline: boolean): Scanned => {
    if (where !== "above" && where !== "below") {
      flush()
      blockEnd = parts.length
    }
    verbatim.push(...takeWaiting())
    const last = verbatim.pop()
    flush()
    if (last !== undefined) parts.push(AuthText.text(endsWithNewline ? `${last}\n` : last))
    return {
      rest: rest.join("\n"),
      restLines,
      parts,
      ...entries,
      changedIdentities,
      changedMachines,
      comments,
      blockEnd,
      odd,
      named: seen,
      duplicate
    }
  }
  return { read, end }
}

/** Takes a text apart. Lines that the known text has too are not read again. */
export const scan = (content: string, known: AuthText.AuthText): Effect.Effect<Scanned> =>
  Effect.gen(function* () {
    const lines = content.split("\n")
    const endsWithNewline = lines.at(-1) === ""
    if (endsWithNewline) lines.pop()
    const scanner = makeScanner(known)
    let number = 0
    for (let at = 0; at < lines.length; at += TURN_LINES) {
      for (const line of lines.slice(at, at + TURN_LINES)) scanner.read(line, ++number)
      yield* turn
    }
    return scanner.end(endsWithNewline)
  })
