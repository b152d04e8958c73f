/**
 * Patches one item of a list of maps in a YAML text. Only the lines of keys that change are written anew where that is
 * possible; else the text is printed as a whole, which may tidy its spacing. Comments stay in either case, but for those
 * of what is taken out.
 */
import { isDeepStrictEqual } from "node:util"
import * as Either from "effect/Either"
import * as Yaml from "yaml"
import * as MergePatch from "./mergePatch.ts"

/** What a patch makes of a text. */
export interface Edited {
  readonly text: string
  readonly before: unknown
  readonly after: unknown
}

/** Aliases that one text may resolve: more of them are an attack, or a mistake. */
const ALIASES = 100

const js = (document: Yaml.Document): unknown => document.toJS({ maxAliasCount: ALIASES })

const parse = (text: string): Yaml.Document => Yaml.parseDocument(text, { prettyErrors: false })

const mapAt = (document: Yaml.Document, list: string, index: number): Yaml.YAMLMap | undefined => {
  const node = document.getIn([list, index])
  return Yaml.isMap(node) ? node : undefined
}

/** One item of a list, as plain JSON; undefined when it is no map. */
export const itemOf = (text: string, list: string, index: number): unknown => {
  const document = parse(text)
  return mapAt(document, list, index)?.toJS(document, { maxAliasCount: ALIASES })
}

/** The comments of a text, in the order of the alphabet. */
const commentsIn = (text: string): ReadonlyArray<string> =>
  [...new Yaml.Parser().parse(text)]
    .flatMap((token) => {
      const found: Array<string> = []
      JSON.stringify(token, (key, value: unknown) => {
        if (key === "source" && typeof value === "string" && value.startsWith("#")) found.push(value)
        return value
      })
      return found
    })
    .toSorted()

/** How a person wrote lists and maps: with spaces inside of brackets, and list items further in than their key. */
const styleOf = (text: string) => ({
  lineWidth: 0,
  flowCollectionPadding: !/[[{][^\s\]}]/.test(text) || /[[{] /.test(text),
  indentSeq: !/^( *)[^\s#-][^\n]*:[^\n]*\n(?:\s*(?:#[^\n]*)?\n)*\1- /m.test(text)
})

interface Span {
  readonly from: number
  readonly to: number
}

/** Where what a node says ends: with the line of its last item, comment included, when it has lines of its own. */
const endOf = (text: string, node: unknown): number | undefined => {
  if (!Yaml.isNode(node) || !node.range) return undefined
  if (!Yaml.isCollection(node) || node.flow === true) {
    const [from, to] = node.range
    return from + text.slice(from, to).trimEnd().length
  }
  const last: unknown = node.items.at(-1)
  const end = endOf(text, Yaml.isPair(last) ? last.value : last)
  if (end === undefined) return undefined
  const line = text.indexOf("\n", end)
  return line === -1 ? text.length : line
}

const spanOf = (text: string, { key, value }: Yaml.Pair): Span | undefined => {
  const from = Yaml.isNode(key) ? key.range?.[0] : undefined
  const to = endOf(text, value)
  return from === undefined || to === undefined ? undefined : { from, to }
}

const keyOf = (pair: Yaml.Pair): string => String(Yaml.isScalar(pair.key) ? pair.key.value : pair.key)

const lineStart = (text: string, at: number): number => text.lastIndexOf("\n", at - 1) + 1
const lineEnd = (text: string, at: number): number => {
  const end = text.indexOf("\n", at)
  return end === -1 ? text.length : end + 1
}

/** Where the lines of a pair begin, those of the comment above it included. */
const notesStart = (text: string, { key }: Yaml.Pair, at: number): number => {
  const above = Yaml.isNode(key) ? (key.commentBefore?.split("\n").length ?? 0) : 0
  let start = lineStart(text, at)
  for (let i = 0; i < above && start > 0; i++) start = lineStart(text, start - 1)
  return start
}

/** One pair as text, without what stands before and behind it in the file; lines after the first one indented. */
const written = (pair: Yaml.Pair, style: ReturnType<typeof styleOf>, indent: string): string => {
  const { key, value } = pair
  const document = new Yaml.Document()
  const map = new Yaml.YAMLMap()
  map.items.push(pair)
  document.contents = map
  const notes: Array<() => void> = []
  const hide = (node: unknown, name: "comment" | "commentBefore" | "spaceBefore") => {
    if (!Yaml.isNode(node) || node[name] === undefined) return
    const kept = node[name]
    notes.push(() => Object.assign(node, { [name]: kept }))
    Reflect.deleteProperty(node, name)
  }
  hide(key, "commentBefore")
  hide(key, "spaceBefore")
  if (!Yaml.isCollection(value) || value.flow === true) hide(value, "comment")
  const text = document.toString(style)
  for (const restore of notes) restore()
  return text.trimEnd().replaceAll("\n", `\n${indent}`)
}

/** Writes anew only the lines of what changes; undefined when the text is not written so that this can be done. */
const splice = (text: string, before: Yaml.YAMLMap, after: Yaml.YAMLMap): string | undefined => {
  const [first] = before.items
  const last = before.items.at(-1)
  const start = first && spanOf(text, first)
  if (before.flow === true || start === undefined || last === undefined) return undefined
  const indent = " ".repeat(start.from - lineStart(text, start.from))
  const edits: Array<Span & { readonly text: string }> = []
  for (const pair of before.items) {
    const span = spanOf(text, pair)
    if (span === undefined) return undefined
    const next = after.items.find((each) => keyOf(each) === keyOf(pair))
    if (next === undefined) {
      if (pair === first) return undefined
      edits.push({ from: notesStart(text, pair, span.from), to: lineEnd(text, span.to), text: "" })
    } else if (!isDeepStrictEqual(JSON.stringify(next), JSON.stringify(pair))) {
      const old = text.slice(span.from, span.to)
      edits.push({ ...span, text: written(next, styleOf(old), indent) })
    }
  }
  const added = after.items.filter((pair) => !before.items.some((each) => keyOf(each) === keyOf(pair)))
  const end = spanOf(text, last)
  if (end === undefined) return undefined
  const at = lineEnd(text, end.to)
  const style = styleOf(text)
  const lines = added.map((pair) => `${indent}${written(pair, style, indent)}\n`).join("")
  if (lines !== "") edits.push({ from: at, to: at, text: text[at - 1] === "\n" ? lines : `\n${lines}` })
  let result = text
  for (const edit of edits.toReversed()) result = result.slice(0, edit.from) + edit.text + result.slice(edit.to)
  return result
}

const says = (text: string, wanted: unknown): boolean => {
  const document = parse(text)
  return document.errors.length === 0 && isDeepStrictEqual(js(document), wanted)
}

/**
 * Patches the item at `index` of `list`. The other side of the result says why the text cannot be edited so; then somebody
 * has to do it by hand.
 */
export const patchItem = (
  text: string,
  list: string,
  index: number,
  patch: Readonly<Record<string, unknown>>
): Either.Either<Edited, string> =>
  Either.try({
    try: (): Edited | undefined => {
      const untouched = parse(text)
      const document = parse(text)
      const was = mapAt(untouched, list, index)
      const map = mapAt(document, list, index)
      if (was === undefined || map === undefined) return undefined
      const before = was.toJS(untouched, { maxAliasCount: ALIASES })
      const after = MergePatch.apply(before, patch)
      const whole = js(untouched)
      const wanted = MergePatch.withItem(whole, list, index, after)
      MergePatch.applyToMap(document, map, patch)
      const printed = document.toString(styleOf(text))
      if (!says(printed, wanted)) return undefined
      const spliced = splice(text, was, map)
      const isSound =
        spliced !== undefined && says(spliced, wanted) && isDeepStrictEqual(commentsIn(spliced), commentsIn(printed))
      return { text: isSound ? spliced : printed, before, after }
    },
    catch: () => "the file is written in a way that cannot be edited from here"
  }).pipe(
    Either.flatMap((edited) =>
      edited === undefined
        ? Either.left("the file uses aliases or other forms that cannot be edited from here; change it by hand")
        : Either.right(edited)
    )
  )
