/**
 * A JSON merge patch (RFC 7386), on plain JSON and on a map of a YAML document. Both give the same; the second keeps what
 * a person wrote beside the values: comments, order, and the form of what does not change.
 */
import { isDeepStrictEqual } from "node:util"
import * as Yaml from "yaml"
import { isInherited } from "../../protocol/Control.ts"

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** A key in it that every JavaScript object has, which none of ours may be; undefined for none. */
export const inheritedKeyIn = (value: unknown): string | undefined => {
  if (typeof value !== "object" || value === null) return undefined
  if (!Array.isArray(value)) {
    const found = Object.keys(value).find(isInherited)
    if (found !== undefined) return found
  }
  for (const member of Object.values(value)) {
    const found = inheritedKeyIn(member)
    if (found !== undefined) return found
  }
  return undefined
}

/** The patched value; neither argument is changed. */
export const apply = (target: unknown, patch: unknown): unknown => {
  if (!isObject(patch)) return patch
  const result = new Map(Object.entries(isObject(target) ? target : {}))
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key)
    else result.set(key, apply(result.get(key), value))
  }
  return Object.fromEntries(result)
}

const keyOf = (pair: Yaml.Pair): string => String(Yaml.isScalar(pair.key) ? pair.key.value : pair.key)

const pairOf = (map: Yaml.YAMLMap, key: string): Yaml.Pair | undefined => map.items.find((pair) => keyOf(pair) === key)

/** What stands beside a value in the file goes on standing beside the one in its place. */
const withNotes = (node: Yaml.Node, before: unknown): Yaml.Node => {
  if (!Yaml.isNode(before)) return node
  // Behind a value of several lines there is no place for what stood behind one of a single line.
  const grows = Yaml.isCollection(node) && !Yaml.isCollection(before)
  const above = [before.commentBefore, grows ? before.comment : undefined].filter((text) => typeof text === "string")
  if (above.length > 0) node.commentBefore = above.join("\n")
  if (!grows && before.comment) node.comment = before.comment
  if (before.spaceBefore === true) node.spaceBefore = true
  return node
}

/** What items of our lists are known by, so that one that changes keeps its place and comments. */
const names = ["port", "path", "key", "name"] as const

const isSameThing = (item: unknown, value: Json): boolean => {
  if (!isObject(item)) return false
  const name = names.find((each) => each in value)
  return name !== undefined && isDeepStrictEqual(item[name], value[name])
}

/** Puts values into a list in place of those it has; items that stay, or are another form of the same thing, are kept. */
const setItems = (document: Yaml.Document, list: Yaml.YAMLSeq, values: ReadonlyArray<unknown>): void => {
  const left = list.items.map((node) => ({ node, json: Yaml.isNode(node) ? node.toJS(document) : node }))
  const take = (is: (json: unknown) => boolean) => {
    const index = left.findIndex(({ json }) => is(json))
    return index === -1 ? undefined : left.splice(index, 1)[0]?.node
  }
  // First those that stay as they are, so that none of them is taken for what another one becomes.
  const kept = values.map((value) => take((json) => isDeepStrictEqual(json, value)))
  list.items = values.map((value, index) => {
    const same = kept[index]
    if (same !== undefined) return same
    const other = isObject(value) ? take((json) => isSameThing(json, value)) : undefined
    if (!isObject(value) || !Yaml.isMap(other)) return document.createNode(value)
    setMap(document, other, value)
    return other
  })
}

/** Makes a map say exactly this. */
const setMap = (document: Yaml.Document, map: Yaml.YAMLMap, value: Json): void => {
  map.items = map.items.filter((pair) => keyOf(pair) in value)
  for (const [key, member] of Object.entries(value)) setValue(document, map, key, member)
}

const setValue = (document: Yaml.Document, map: Yaml.YAMLMap, key: string, value: unknown): void => {
  const pair = pairOf(map, key)
  if (pair === undefined) {
    map.items.push(document.createPair(key, value))
    return
  }
  const before = pair.value
  if (Yaml.isNode(before) && isDeepStrictEqual(before.toJS(document), value)) return
  if (Yaml.isSeq(before) && Array.isArray(value)) return setItems(document, before, value)
  if (Yaml.isMap(before) && isObject(value)) return setMap(document, before, value)
  pair.value = withNotes(document.createNode(value), before)
}

/** Patches a map in its place. */
export const applyToMap = (document: Yaml.Document, map: Yaml.YAMLMap, patch: Json): void => {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) {
      map.items = map.items.filter((pair) => keyOf(pair) !== key)
      continue
    }
    const before = pairOf(map, key)?.value
    if (isObject(value) && Yaml.isMap(before)) applyToMap(document, before, value)
    else setValue(document, map, key, apply(undefined, value))
  }
}

/** A document's content with another item in one of its lists. */
export const withItem = (content: unknown, list: string, index: number, item: unknown): unknown => {
  if (!isObject(content)) return content
  const items: unknown = content[list]
  return Array.isArray(items) ? { ...content, [list]: items.with(index, item) } : content
}
