/**
 * Versions as releases write them, `v1.2.3` and `v1.3.0-beta.2`, and which of two is newer: as Semantic Versioning 2.0 has
 * it. The deployed programs count any two words the same (spec: hub-api 7.4), by which `-rc1` would do in place of `-rc2`.
 * Pure.
 */
import * as Either from "effect/Either"
import { quoted } from "../../protocol/Printable.ts"

/** A version, taken apart. */
export interface Version {
  /** With `v`, and without what follows a `+`, which says nothing of the order. */
  readonly text: string
  readonly numbers: readonly [major: number, minor: number, patch: number]
  /** What follows the hyphen, number or word each; none for a release. */
  readonly pre: ReadonlyArray<bigint | string>
}

const number = "(0|[1-9]\\d{0,8})"
/** A number without zeros before it, or what is no number. */
const part = "(?:0|[1-9]\\d*|\\d*[A-Za-z-][0-9A-Za-z-]*)"
const form = new RegExp(`^v?${number}\\.${number}\\.${number}(?:-(${part}(?:\\.${part})*))?(?:\\+[0-9A-Za-z.-]+)?$`)

const MOST_CHARACTERS = 64

/** Numbers of any length: some count by the second. */
const identifier = (text: string): bigint | string => (/^\d+$/.test(text) ? BigInt(text) : text)

/** Reads a version, with or without `v`. The other side is a sentence. */
export const parse = (text: string): Either.Either<Version, string> => {
  const [, major, minor, patch, pre] = (text.length <= MOST_CHARACTERS && form.exec(text)) || []
  if (major === undefined) return Either.left(`${quoted(text)} is no version; write it as v1.2.3 or v1.3.0-beta.2`)
  const behind = pre === undefined ? "" : `-${pre}`
  return Either.right({
    text: `v${major}.${minor}.${patch}${behind}`,
    numbers: [Number(major), Number(minor), Number(patch)],
    pre: pre === undefined ? [] : pre.split(".").map(identifier)
  })
}

const compareIdentifiers = (a: bigint | string | undefined, b: bigint | string | undefined): number => {
  if (a === b) return 0
  // Of two that begin alike, the shorter one comes first.
  if (a === undefined || b === undefined) return a === undefined ? -1 : 1
  // Words by their letters, as they are in ASCII, so that -rc10 comes before -rc2: a number has to stand behind a dot.
  if (typeof a === typeof b) return a < b ? -1 : 1
  return typeof a === "bigint" ? -1 : 1
}

/** Below 0 when `a` is older than `b`, above when it is newer; 0 when they are the same, and only then. */
export const compare = (a: Version, b: Version): number => {
  for (const [index, part] of a.numbers.entries()) {
    const order = Math.sign(part - (b.numbers[index] ?? 0))
    if (order !== 0) return order
  }
  if (a.pre.length === 0 || b.pre.length === 0) return Math.sign(b.pre.length - a.pre.length)
  for (let index = 0; index < Math.max(a.pre.length, b.pre.length); index++) {
    const order = compareIdentifiers(a.pre[index], b.pre[index])
    if (order !== 0) return order
  }
  return 0
}

/** The channel that a version was made for, by its form: `stable`, or the word of `-word.N`; undefined for others. */
export const channelOf = ({ pre }: Version): string | undefined => {
  if (pre.length === 0) return "stable"
  const [word, count] = pre
  return pre.length === 2 && typeof word === "string" && typeof count === "bigint" && /^[a-z0-9-]+$/.test(word)
    ? word
    : undefined
}
