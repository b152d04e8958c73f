/**
 * Which proxy leads to a hub, by the variables that every program reads: HTTPS_PROXY for wss and https, HTTP_PROXY for ws
 * and http, ALL_PROXY for both, and NO_PROXY for those that need none. As with curl, a lower-case name wins over its
 * upper-case one, an empty variable counts as absent, and this machine is never reached through a proxy.
 */
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as NoProxy from "./NoProxy.ts"

/** A proxy that opens ways by CONNECT (RFC 9110, section 9.3.6). */
export interface Proxy {
  readonly host: string
  readonly port: number
  /** Whether it is itself reached by TLS. */
  readonly secure: boolean
  /** The value of Proxy-Authorization. */
  readonly authorization: Redacted.Redacted | undefined
  /** The variable that names it. */
  readonly variable: string
  /** It and its variable as sentences name them, without credentials. */
  readonly shown: string
}

type Env = Readonly<Record<string, string | undefined>>

/** The first of the variables that is set, in both spellings each. */
const first = (env: Env, names: ReadonlyArray<string>) => {
  for (const name of names.flatMap((each) => [each.toLowerCase(), each])) {
    const value = env[name]?.trim()
    if (value) return { name, value }
  }
  return undefined
}

/** A host as sockets and certificates have it: of an IPv6 address without the brackets. */
export const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, "")

/** Whether the address asks for TLS. */
export const isSecure = (url: URL): boolean => url.protocol === "wss:" || url.protocol === "https:"

/** The port of the address, given or not. */
export const portOf = (url: URL): number => (url.port === "" ? (isSecure(url) ? 443 : 80) : Number(url.port))

/** Basic credentials (RFC 7617); undefined when the parts are not what can be sent. */
const basic = (url: URL): Redacted.Redacted | undefined => {
  try {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
    return Redacted.make(`Basic ${Buffer.from(pair).toString("base64")}`)
  } catch {
    return undefined
  }
}

const form = "write it as http://proxy.example.com:3128"

/** The value may hold a password, so that no sentence repeats it. */
const parse = (variable: string, value: string): Either.Either<Proxy, string> => {
  const text = /^[a-z][a-z\d+.-]*:\/\//i.test(value) ? value : `http://${value}`
  if (!URL.canParse(text)) return Either.left(`${variable} is no address of a proxy; ${form}`)
  const url = new URL(text)
  if (url.protocol.startsWith("socks")) {
    return Either.left(`${variable} names a SOCKS proxy, and only HTTP proxies can be used; ${form}`)
  }
  if ((url.protocol !== "http:" && url.protocol !== "https:") || url.hostname === "") {
    return Either.left(`${variable} is no address of a proxy; ${form}`)
  }
  const named = url.username !== "" || url.password !== ""
  const authorization = named ? basic(url) : undefined
  if (named && authorization === undefined) {
    return Either.left(`${variable}: the user or password holds a % that begins no code; write it as %25`)
  }
  return Either.right({
    host: hostOf(url),
    port: portOf(url),
    secure: isSecure(url),
    authorization,
    variable,
    shown: `${url.protocol}//${url.host} (${variable})`
  })
}

/** The proxy for an address, undefined where there is to be none. The other side is a sentence that names the variable. */
export const proxyOf = (url: URL, env: Env): Either.Either<Proxy | undefined, string> => {
  const found = first(env, [isSecure(url) ? "HTTPS_PROXY" : "HTTP_PROXY", "ALL_PROXY"])
  const host = hostOf(url)
  if (found === undefined || NoProxy.isLoopback(host)) return Either.right(undefined)
  if (NoProxy.covers(first(env, ["NO_PROXY"])?.value ?? "", host, portOf(url))) return Either.right(undefined)
  return parse(found.name, found.value)
}
