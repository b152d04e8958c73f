/**
 * The text of telahubd.yaml around and within its `auth:` block, ready to be written: entries as lines, in blocks that are
 * kept as bytes, and everything else as it stands. Never changed; a change makes a new one that shares all but the blocks
 * it touches, so that it costs a fraction of a millisecond whatever the size of the file.
 */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import { grantsOf, grantsOn, identityOf } from "../policy/Identity.ts"
import type { Snapshot } from "../policy/Identity.ts"
import { HUB_FILE_BLOCK_LINES } from "../protocol/Limits.ts"
import * as AuthLine from "./AuthLine.ts"
import type { SectionName } from "./AuthLine.ts"

/** An entry, and the lines of comment above it. */
export interface Entry extends AuthLine.Line {
  readonly lead: string
}

/** Entries that are encoded and written as one piece. */
interface Block {
  readonly entries: ReadonlyArray<Entry>
  readonly bytes: Uint8Array
}

/** One of the two lists. Blocks keep their place, even when they become empty, so that an entry is found by the place of its block. */
interface Section {
  readonly blocks: ReadonlyArray<Block>
  readonly places: HashMap.HashMap<string, number>
}

/** What the file is made of, in its order. */
export type Part =
  | { readonly _tag: "Text"; readonly bytes: Uint8Array }
  | { readonly _tag: "Revision"; readonly trail: string }
  | { readonly _tag: "Section"; readonly name: SectionName }

/** A file. */
export interface AuthText {
  readonly parts: ReadonlyArray<Part>
  readonly revision: number
  readonly identities: Section
  readonly machines: Section
}

/** New bodies of entries by key; undefined for one that goes. */
export type Changes = ReadonlyMap<string, string | undefined>

const encode = (text: string): Uint8Array => Buffer.from(text)

/** A piece of the file that stays as it is. */
export const text = (content: string): Part => ({ _tag: "Text", bytes: encode(content) })

const block = (entries: ReadonlyArray<Entry>): Block => ({
  entries,
  bytes: encode(entries.map((entry) => entry.lead + AuthLine.format(entry)).join(""))
})

const blocksOf = (entries: ReadonlyArray<Entry>): ReadonlyArray<Block> => {
  const blocks: Array<Block> = []
  for (let at = 0; at < entries.length; at += HUB_FILE_BLOCK_LINES) {
    blocks.push(block(entries.slice(at, at + HUB_FILE_BLOCK_LINES)))
  }
  return blocks
}

const sectionOf = (entries: ReadonlyArray<Entry>): Section => ({
  blocks: blocksOf(entries),
  places: HashMap.fromIterable(
    entries.map(({ key }, index) => [key, Math.floor(index / HUB_FILE_BLOCK_LINES)] as const)
  )
})

/** A file of its parts and entries. */
export const make = (options: {
  readonly parts: ReadonlyArray<Part>
  readonly revision: number
  readonly identities: ReadonlyArray<Entry>
  readonly machines: ReadonlyArray<Entry>
}): AuthText => ({
  parts: options.parts,
  revision: options.revision,
  identities: sectionOf(options.identities),
  machines: sectionOf(options.machines)
})

/** A file with nothing in it. */
export const empty: AuthText = make({ parts: [], revision: 0, identities: [], machines: [] })

/** The entry of a key. */
export const entryOf = (file: AuthText, section: SectionName, key: string): Entry | undefined => {
  const place = Option.getOrUndefined(HashMap.get(file[section].places, key))
  return place === undefined ? undefined : file[section].blocks[place]?.entries.find((entry) => entry.key === key)
}

/** The keys of a list. */
export const keysOf = (file: AuthText, section: SectionName): ReadonlySet<string> =>
  new Set(HashMap.keys(file[section].places))

/** The keys of a list that others lack. */
export const keysNotIn = (file: AuthText, section: SectionName, others: ReadonlySet<string>): ReadonlyArray<string> =>
  [...HashMap.keys(file[section].places)].filter((key) => !others.has(key))

const changeSection = (section: Section, changes: Changes, renamed: ReadonlyMap<string, string>): Section => {
  if (changes.size === 0) return section
  const touched = new Map<number, Array<Entry>>()
  const entriesAt = (place: number): Array<Entry> => {
    const entries = touched.get(place) ?? [...(section.blocks[place]?.entries ?? [])]
    touched.set(place, entries)
    return entries
  }
  let places = section.places
  const placeOf = (key: string) => Option.getOrUndefined(HashMap.get(places, key))
  const take = (key: string): { readonly entries: Array<Entry>; readonly index: number } | undefined => {
    const place = placeOf(key)
    if (place === undefined) return undefined
    const entries = entriesAt(place)
    return { entries, index: entries.findIndex((entry) => entry.key === key) }
  }
  // Renamed ones first: they take the place of the former name, which is then gone.
  for (const [key, former] of renamed) {
    const body = changes.get(key)
    const place = placeOf(former)
    const found = take(former)
    if (body === undefined || place === undefined || found === undefined || placeOf(key) !== undefined) continue
    const entry = found.entries[found.index]
    if (entry === undefined) continue
    found.entries[found.index] = { ...entry, key, body }
    places = HashMap.set(HashMap.remove(places, former), key, place)
  }
  const added: Array<Entry> = []
  for (const [key, body] of changes) {
    const found = take(key)
    const entry = found?.entries[found.index]
    if (found === undefined || entry === undefined) {
      if (body !== undefined) added.push({ key, body, lead: "", trail: "" })
    } else if (body === undefined) {
      found.entries.splice(found.index, 1)
      places = HashMap.remove(places, key)
    } else if (body !== entry.body) found.entries[found.index] = { ...entry, body }
  }
  const blocks = [...section.blocks]
  for (const entry of added) {
    const last = Math.max(0, blocks.length - 1)
    const entries = entriesAt(last)
    if (entries.length < HUB_FILE_BLOCK_LINES) {
      entries.push(entry)
      places = HashMap.set(places, entry.key, last)
    } else {
      blocks.push({ entries: [], bytes: new Uint8Array() })
      touched.set(blocks.length - 1, [entry])
      places = HashMap.set(places, entry.key, blocks.length - 1)
    }
  }
  for (const [place, entries] of touched) blocks[place] = block(entries)
  return { blocks, places }
}

/** Bodies of entries as a snapshot has them. */
export const bodiesOf = (
  snapshot: Snapshot,
  names: { readonly identities: Iterable<string>; readonly machines: Iterable<string> }
): { readonly identities: Changes; readonly machines: Changes } => {
  const identities = new Map<string, string | undefined>()
  for (const id of names.identities) {
    const identity = identityOf(snapshot, id)
    const body =
      identity && AuthLine.writeIdentity({ ...identity, digest: AuthLine.digestOf(identity, grantsOf(snapshot, id)) })
    identities.set(id, body)
  }
  const machines = new Map<string, string | undefined>()
  for (const machine of names.machines) {
    const grants = grantsOn(snapshot, machine)
    machines.set(machine, grants && AuthLine.writeMachine(grants))
  }
  return { identities, machines }
}

/** Sets, adds and removes entries, and gives the file a revision. */
export const change = (
  file: AuthText,
  changes: {
    readonly revision: number
    readonly identities: Changes
    readonly machines: Changes
    /** Former keys of identities by new ones. */
    readonly renamed?: ReadonlyMap<string, string>
  }
): AuthText => ({
  parts: file.parts,
  revision: changes.revision,
  identities: changeSection(file.identities, changes.identities, changes.renamed ?? new Map()),
  machines: changeSection(file.machines, changes.machines, new Map())
})

/** The pieces of the whole file. */
export const pieces = (file: AuthText): ReadonlyArray<Uint8Array> =>
  file.parts.flatMap((part) => {
    switch (part._tag) {
      case "Text":
        return [part.bytes]
      case "Revision":
        return [encode(`  revision: ${file.revision}${part.trail}\n`)]
      case "Section":
        return file[part.name].blocks.map(({ bytes }) => bytes)
    }
  })
