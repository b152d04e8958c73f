/**
 * HTTP headers as they came: names and values in turn, in their order, nothing merged. And what a proxy must not pass on
 * (RFC 9110, 7.6.1). Pure.
 */

/** Names and values in turn. */
export type RawHeaders = ReadonlyArray<string>

/** What concerns one connection only; `te` and `trailer` go with the body, which is framed anew. */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

/** A message would mean something else without these, whatever its Connection header lists. */
const kept = new Set(["host", "content-length"])

/** Each header once, as [name, value]. */
export const pairs = function* (headers: RawHeaders): Generator<readonly [name: string, value: string]> {
  for (let i = 0; i + 1 < headers.length; i += 2) yield [headers[i] ?? "", headers[i + 1] ?? ""]
}

/** The headers for which `isWanted` holds; it is given the name in lower case. */
export const filter = (headers: RawHeaders, isWanted: (name: string) => boolean): RawHeaders =>
  [...pairs(headers)].filter(([name]) => isWanted(name.toLowerCase())).flat()

/** The values of a header; `name` is in lower case. */
export const valuesOf = (headers: RawHeaders, name: string): ReadonlyArray<string> =>
  [...pairs(headers)].filter(([each]) => each.toLowerCase() === name).map(([, value]) => value)

/** The parts of a header that is a comma list, in lower case. */
export const listOf = (headers: RawHeaders, name: string): ReadonlyArray<string> =>
  valuesOf(headers, name)
    .flatMap((value) => value.split(","))
    .map((part) => part.trim().toLowerCase())
    .filter((part) => part !== "")

/** What is meant for the other end: without the headers of this hop, those that Connection names included. */
export const endToEnd = (headers: RawHeaders): RawHeaders => {
  const named = new Set(listOf(headers, "connection"))
  return filter(headers, (name) => !hopByHop.has(name) && (!named.has(name) || kept.has(name)))
}
