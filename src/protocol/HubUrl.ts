/** The address of a hub: what people write, what pins are filed under, and where its HTTP API is. */
import * as Either from "effect/Either"

/**
 * Takes the address of a hub as it is dialled: `ws://` or `wss://` with a host, and nothing secret in it. The other side
 * of the result is a sentence that says what to write instead.
 */
export const parse = (text: string): Either.Either<string, string> => {
  const trimmed = text.trim()
  const shown = JSON.stringify(trimmed)
  let url: URL
  try {
    url = new URL(trimmed)
  } catch {
    return Either.left(`${shown} is no hub address; write it as wss://hub.example.com`)
  }
  const { protocol, username, password } = url
  if (protocol === "http:" || protocol === "https:") {
    return Either.left(`${shown} is a web address; write ${trimmed.replace(/^http/i, "ws")}`)
  }
  if (protocol !== "ws:" && protocol !== "wss:") {
    return Either.left(`${shown} is no hub address; write it as wss://hub.example.com`)
  }
  if (username !== "" || password !== "") return Either.left("a hub address holds no user or password; give a token")
  if (url.hash !== "") return Either.left(`${shown} is no hub address: leave out what follows the #`)
  return Either.right(trimmed)
}

/** One spelling for every way to write the same hub: lower case, no default port, no slash at the end. */
export const canonical = (hub: string): string => {
  if (!URL.canParse(hub)) return hub
  const { protocol, host, pathname, search } = new URL(hub)
  return `${protocol}//${host}${pathname.replace(/\/+$/, "")}${search}`
}

/** The origin of the hub's HTTP API: http for ws, https for wss. */
export const httpOrigin = (hub: string): string => {
  const { protocol, host } = new URL(hub)
  return `${protocol === "wss:" ? "https:" : "http:"}//${host}`
}
