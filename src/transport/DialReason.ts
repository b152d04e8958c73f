/**
 * Sentences for connections to a hub that did not come about: what answered, and what to do. People behind proxies,
 * gateways and captive portals have nothing else to go by.
 */
import type { IncomingHttpHeaders } from "node:http"
import { printable, quoted } from "../protocol/Printable.ts"

/** What happened, and what to check when it happened on the way to a hub. */
const failures = new Map<string, readonly [what: string, advice: string]>([
  ["ENOTFOUND", ["no such host", "check the hub's name"]],
  ["EAI_AGAIN", ["the name could not be looked up", "check the network"]],
  ["ECONNREFUSED", ["nothing listens there", "check the port, and that the hub runs"]],
  ["ECONNRESET", ["the connection was reset", "check that this is a hub and not something else"]],
  ["EPIPE", ["the connection was reset", "check that this is a hub and not something else"]],
  ["EHOSTUNREACH", ["no route to the host", "check the network"]],
  ["ENETUNREACH", ["no route to the network", "check the network"]],
  ["ETIMEDOUT", ["no answer", "check the address and the firewall"]]
])

const noTls = "it does not speak TLS there; check wss:// against ws://"
const unknownCa = new Set([
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"
])

const certificates = new Map([
  ["CERT_HAS_EXPIRED", "its certificate has expired; check this computer's clock, or ask the hub's owner"],
  ["CERT_NOT_YET_VALID", "its certificate is not valid yet; check this computer's clock"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "its certificate is self-signed; if it is the right one, name its file with -ca"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "its certificate is for another name"],
  ["EPROTO", noTls],
  ["ERR_SSL_WRONG_VERSION_NUMBER", noTls],
  ["ERR_SSL_PACKET_LENGTH_TOO_LONG", noTls]
])

/** What `ws` says of an answer that has the status of a WebSocket, and is none. */
const noHandshake = /^(Invalid (Upgrade|Sec-WebSocket-\w+) header|Server sent )/

const stripped = "a proxy in between may not pass them on: use wss://, or have WebSockets to this host allowed there"

const codeOf = (error: Error): string => ("code" in error ? String(error.code) : "")

/** What answers in another protocol, by the first bytes of it. */
const banner = (error: Error): string => {
  const packet = "rawPacket" in error && Buffer.isBuffer(error.rawPacket) ? error.rawPacket : Buffer.alloc(0)
  if (packet[0] === 0x15 || packet[0] === 0x16) return "it speaks TLS there; write the address with wss://"
  const [line = ""] = packet.toString("latin1", 0, 64).split(/[\r\n]/)
  if (line.startsWith("SSH-")) return "an SSH server answers there; check the port"
  return `what answers there is no web server${line === "" ? "" : ` and says ${quoted(line)}`}; check the port`
}

/** A sentence for a failed attempt, from Node's error. `issuer` is who issued the certificate that was shown. */
export const explain = (error: Error, issuer?: string): string => {
  const code = codeOf(error)
  const failure = failures.get(code)
  if (failure !== undefined) return failure.join("; ")
  if (unknownCa.has(code)) {
    const who = issuer === undefined ? "" : `: it is issued by ${quoted(issuer)}`
    return `its certificate's CA is not known here${who}; name the CA's file with -ca, also if a proxy here inspects TLS`
  }
  if (code.startsWith("HPE_")) return banner(error)
  if (code.startsWith("WS_ERR_") || noHandshake.test(error.message)) {
    return `it takes WebSockets and breaks them (${printable(error.message)}); ${stripped}`
  }
  return certificates.get(code) ?? printable(error.message)
}

/** The same for the way to a proxy: only what happened. */
export const explainProxy = (error: Error): string => {
  const code = codeOf(error)
  if (code.startsWith("HPE_")) return "it does not speak HTTP"
  return failures.get(code)?.[0] ?? explain(error)
}

/** What answered in the hub's place. */
export interface WebAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders | Readonly<Record<string, string>>
}

const headerOf = ({ headers }: WebAnswer, name: string): string => {
  const value = headers[name]
  return typeof value === "string" ? value : ""
}

const isOf = (answer: WebAnswer, type: string): boolean => headerOf(answer, "content-type").startsWith(type)

const portal = "log in to this network in a browser, or check the hub's address"

const redirected = (url: URL, answer: WebAnswer): string => {
  const location = headerOf(answer, "location")
  if (location === "" || !URL.canParse(location, url.href))
    return `something in between answered, and no hub (HTTP ${answer.status}); check the address`
  const to = new URL(location, url)
  if (to.hostname === url.hostname && to.protocol === "https:" && /^(ws|http):$/.test(url.protocol)) {
    return `it is reached by TLS only; write the address as wss://${printable(to.host)}`
  }
  // What follows the host may name this computer or its user.
  return `something in between leads to ${printable(to.origin)} instead, as the login page of a network does; ${portal}`
}

const withoutHub = (status: number): string =>
  `a gateway answered that the hub behind it does not (HTTP ${status}); check that the hub runs`

/** The hub's own word has a body that its interface defines; all that comes without one may be a gateway's. */
const away = (answer: WebAnswer): string | undefined => {
  const wait = headerOf(answer, "retry-after")
  if (isOf(answer, "application/json")) return undefined
  if (/^\d{1,6}$/.test(wait))
    return `the hub, or a gateway before it, is restarting or has too many connections (HTTP 503); try again in ${wait} s`
  return isOf(answer, "text/html") ? withoutHub(503) : undefined
}

/** The sentence for an answer that only a network in between gives, or a hub that is away; undefined for all else. */
export const inBetween = (url: URL, answer: WebAnswer): string | undefined => {
  const { status } = answer
  switch (status) {
    case 304:
      return undefined
    case 407:
      return "a proxy in between wants credentials (HTTP 407); name it in HTTPS_PROXY as http://user:password@host:port"
    case 511:
      return `this network wants a login first (HTTP 511); ${portal}`
    case 502:
    case 504:
      // The hub itself says so of an agent that was asked something.
      return isOf(answer, "application/json") ? undefined : withoutHub(status)
    case 503:
      return away(answer)
    default:
      if (status >= 300 && status < 400) return redirected(url, answer)
      return status < 300 && isOf(answer, "text/html")
        ? `a web page answered, not a hub (HTTP ${status}); ${portal}`
        : undefined
  }
}

/** The sentence for a WebSocket on which nothing ever arrived, by which proxy it went, if we know of one. */
export const notPassed = (url: URL, proxy: string | undefined): string => {
  const who = proxy === undefined ? "something in between" : `the proxy ${proxy}`
  const advice = /^(ws|http):$/.test(url.protocol) ? "use wss://, or have" : "have"
  return `nothing comes back: ${who} takes WebSockets and does not pass them on; ${advice} them allowed there for ${url.host}`
}

/** The sentence for an answer that is no WebSocket. */
export const noWebSocket = (url: URL, answer: WebAnswer): string => {
  const { status } = answer
  const said = `it answered HTTP ${status} instead of a WebSocket`
  const between = inBetween(url, answer)
  if (between !== undefined) return between
  if (status < 300 || [400, 405, 426, 501].includes(status)) return `${said}; ${stripped}`
  if (status === 401 || status === 403) {
    return `${said}; check that this is a Tela hub, and that no firewall or proxy in between refuses it`
  }
  return `${said}; check that this is a Tela hub`
}
