/** The address of a hub: what people write, what pins are filed under, and where its HTTP API is. */
import * as Either from "effect/Either"

/**
 * Takes the address of a hub and makes it one that can be dialled: `wss://` or `ws://` with a host, and nothing secret in
 * it. Its web address is taken too, and a bare host, which is reached by TLS. The other side of the result is a sentence
 * that says what to write instead.
 */
export const parse = (text: string): Either.Either<string, string> => {
  const trimmed = text.trim()
  // It would do for a name that is looked up, though no name has a part that long.
  if (/^[0-9a-f]{64}$/i.test(trimmed))
    return Either.left("this looks like a token; write a hub as wss://hub.example.com")
  // Where people put what is secret is not repeated.
  const shown = JSON.stringify(trimmed.replace(/[?#].*/s, "").replace(/[^/]*@/g, ""))
  const dialled = trimmed.includes("://") ? trimmed.replace(/^http(s?):\/\//i, "ws$1://") : `wss://${trimmed}`
  let url: URL
  try {
    url = new URL(dialled)
  } catch {
    return Either.left(`${shown} is no hub address; write it as wss://hub.example.com`)
  }
  const { protocol, username, password } = url
  // URL passes over control characters, and a command that is to be pasted must not.
  if ((protocol !== "ws:" && protocol !== "wss:") || /\p{Cc}/u.test(trimmed)) {
    return Either.left(`${shown} is no hub address; write it as wss://hub.example.com`)
  }
  // An empty one too, of which URL says nothing.
  if (trimmed.includes("?"))
    return Either.left(`${shown} goes without what follows the ?; a token is given with -token`)
  if (username !== "" || password !== "") return Either.left("a hub address holds no user or password; give a token")
  if (url.hash !== "") return Either.left(`${shown} is no hub address: leave out what follows the #`)
  return Either.right(dialled)
}

/** One spelling for every way to write the same hub: as it is dialled, lower case, no default port, no slash at the end. */
export const canonical = (hub: string): string =>
  Either.match(parse(hub), {
    onLeft: () => hub,
    onRight: (dialled) => {
      const { protocol, host, pathname } = new URL(dialled)
      return `${protocol}//${host}${pathname.replace(/\/+$/, "")}`
    }
  })

/** The origin of the hub's HTTP API: http for ws, https for wss. */
export const httpOrigin = (hub: string): string => {
  const { protocol, host } = new URL(hub)
  return `${protocol === "wss:" || protocol === "https:" ? "https:" : "http:"}//${host}`
}
