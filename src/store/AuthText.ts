/**
 * The text of telahubd.yaml around and within its `auth:` block, ready to be written: entries as lines, in blocks that are
 * kept as bytes, and everything else as it stands. Never changed; a change makes a new one that shares all but the blocks
 * it touches, so that it costs a fraction of a millisecond whatever the size of the file.
 */
import * as Effect from "effect/Effect"
import { grantsOf, grantsOn, identityOf } from "../policy/Identity.ts"
import type { Snapshot } from "../policy/Identity.ts"
import { HUB_FILE_BLOCK_LINES } from "../protocol/Limits.ts"
import { turn } from "../transport/Slices.ts"
import * as AuthLine from "./AuthLine.ts"
import type { SectionName } from "./AuthLine.ts"

/** An entry, and the lines of comment above it. */
export interface Entry extends AuthLine.Line {
  readonly lead: string
}

/** Entries that are encoded and written as one piece. */
interface Block {
  readonly entries: ReadonlyArray<Entry>
  /** Made when it is first written. */
  bytes?: Uint8Array
}

/** One of the two lists. Blocks keep their place, even when they become empty. */
interface Section {
  readonly blocks: ReadonlyArray<Block>
  /**
   * In which block an entry is, if it is there at all. Texts that were made of one another share it: it only gains
   * keys, and one that is in two of them is in the same block of both.
   */
  readonly places: Map<string, number>
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

/** Blocks that are encoded before others get a turn. */
const TURN_BLOCKS = 2

/** New bodies of entries by key; undefined for one that goes. */
export type Changes = ReadonlyMap<string, string | undefined>

const encode = (text: string): Uint8Array => Buffer.from(text)

/** A piece of the file that stays as it is. */
export const text = (content: string): Part => ({ _tag: "Text", bytes: encode(content) })

const bytesOf = (block: Block): Uint8Array =>
  (block.bytes ??= encode(block.entries.map((entry) => entry.lead + AuthLine.format(entry)).join("")))

const blocksOf = (entries: ReadonlyArray<Entry>): ReadonlyArray<Block> => {
  const blocks: Array<Block> = []
  for (let at = 0; at < entries.length; at += HUB_FILE_BLOCK_LINES) {
    blocks.push({ entries: entries.slice(at, at + HUB_FILE_BLOCK_LINES) })
  }
  return blocks
}

const sectionOf = (entries: ReadonlyArray<Entry>): Section => {
  const places = new Map<string, number>()
  for (let at = 0; at < entries.length; at++) {
    const key = entries[at]?.key
    if (key !== undefined) places.set(key, Math.floor(at / HUB_FILE_BLOCK_LINES))
  }
  return { blocks: blocksOf(entries), places }
}

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
  const place = file[section].places.get(key)
  return place === undefined ? undefined : file[section].blocks[place]?.entries.find((entry) => entry.key === key)
}

/** The keys of a list that others lack. */
export const keysNotIn = (file: AuthText, section: SectionName, others: ReadonlySet<string>): ReadonlyArray<string> =>
  [...file[section].places.keys()].filter((key) => !others.has(key) && entryOf(file, section, key) !== undefined)

/** The places anew, when more keys have gone from the section than are in it. */
const tidied = (section: Section): Section => {
  const live = section.blocks.reduce((count, { entries }) => count + entries.length, 0)
  if (section.places.size <= 2 * live + HUB_FILE_BLOCK_LINES) return section
  const places = section.blocks.flatMap(({ entries }, place) => entries.map(({ key }) => [key, place] as const))
  return { ...section, places: new Map(places) }
}

/** An entry in place of another, which leaves it the comments around it. Without a spread, as policy/Identity.withVersion says why. */
const changed = ({ lead, trail }: Entry, key: string, body: string): Entry => ({ key, body, trail, lead })

const changeSection = (section: Section, changes: Changes, renamed: ReadonlyMap<string, string>): Section => {
  if (changes.size === 0) return section
  const { places } = section
  const blocks = [...section.blocks]
  const touched = new Map<number, Array<Entry>>()
  /** The entries of a block, to be changed. */
  const open = (place: number): Array<Entry> => {
    const entries = touched.get(place) ?? [...(blocks[place]?.entries ?? [])]
    touched.set(place, entries)
    return entries
  }
  const find = (key: string) => {
    const place = places.get(key)
    if (place === undefined) return undefined
    const entries = touched.get(place) ?? blocks[place]?.entries ?? []
    const index = entries.findIndex((entry) => entry.key === key)
    const entry = entries[index]
    return entry && { place, index, entry }
  }
  // Renamed ones first: they take the place of the former name, which is then gone.
  for (const [key, former] of renamed) {
    const body = changes.get(key)
    const found = find(former)
    if (body === undefined || found === undefined || find(key) !== undefined) continue
    open(found.place)[found.index] = changed(found.entry, key, body)
    places.set(key, found.place)
  }
  for (const [key, body] of changes) {
    const found = find(key)
    if (found !== undefined) {
      if (body === undefined) open(found.place).splice(found.index, 1)
      else if (body !== found.entry.body) open(found.place)[found.index] = changed(found.entry, key, body)
    } else if (body !== undefined) {
      let last = Math.max(0, blocks.length - 1)
      if ((touched.get(last) ?? blocks[last]?.entries ?? []).length >= HUB_FILE_BLOCK_LINES) {
        last = blocks.push({ entries: [] }) - 1
      }
      open(last).push({ key, body, trail: "", lead: "" })
      places.set(key, last)
    }
  }
  for (const [place, entries] of touched) blocks[place] = { entries }
  return tidied({ blocks, places })
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

/** Encodes what was never written, in turns with others: the first time this is the whole file. */
export const encoded = Effect.fnUntraced(function* (file: AuthText): Effect.fn.Return<void> {
  const blocks = [...file.identities.blocks, ...file.machines.blocks].filter(({ bytes }) => bytes === undefined)
  for (const [index, block] of blocks.entries()) {
    bytesOf(block)
    if (index % TURN_BLOCKS === TURN_BLOCKS - 1) yield* turn
  }
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
        return file[part.name].blocks.map(bytesOf)
    }
  })
