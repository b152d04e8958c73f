/**
 * The head of a request that is to be passed on, and what is wrong with it. Node's parser is strict and has refused what
 * is malformed; here is refused what it reads and another program might read otherwise. Pure.
 */
import * as HttpHeaders from "./HttpHeaders.ts"

/** What a request says before its body. */
export interface HttpHead {
  readonly method: string
  /** The path, and the query if there is one, as sent. */
  readonly target: string
  /** `1.0` or `1.1`. */
  readonly version: string
  readonly headers: HttpHeaders.RawHeaders
}

/** An answer in place of a target's: status and what is wrong, in a sentence. */
export interface HttpProblem {
  readonly status: number
  readonly problem: string
}

/** What Node calls an incoming request, as far as its head goes. */
export interface IncomingHead {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly httpVersion: string
  readonly rawHeaders: HttpHeaders.RawHeaders
}

export const of = ({ httpVersion, method = "", rawHeaders, url = "" }: IncomingHead): HttpHead => ({
  method,
  target: url,
  version: httpVersion,
  headers: rawHeaders
})

/** Visible ASCII without `#`: what else is in an address is to be percent-encoded (RFC 9112, 3.2; RFC 3986). */
const ORIGIN_FORM = /^\/[!"$-~]*$/

/** A host, with or without port (RFC 9110, 7.2): nothing that ends a line, a header or an attribute. */
const HOST = /^[\w.\-:[\]%~]*$/

/** Whether the body is sent in pieces. */
export const isChunked = (head: HttpHead): boolean => HttpHeaders.listOf(head.headers, "transfer-encoding").length > 0

/** Whether a body follows. */
export const hasBody = (head: HttpHead): boolean =>
  isChunked(head) || HttpHeaders.valuesOf(head.headers, "content-length").some((length) => Number(length) > 0)

/** Methods whose requests have no body unless they say so. */
const BODILESS = new Set(["GET", "HEAD", "DELETE", "OPTIONS"])

/** What says how the body is framed when the request is written anew, beside its own Content-Length. */
export const framing = (head: HttpHead): HttpHeaders.RawHeaders => {
  if (isChunked(head)) return ["Transfer-Encoding", "chunked"]
  const isSaid = BODILESS.has(head.method) || HttpHeaders.valuesOf(head.headers, "content-length").length > 0
  return isSaid ? [] : ["Content-Length", "0"]
}

/** Whether the connection is to become a WebSocket. Every other upgrade is ignored, as a server may (RFC 9110, 7.8). */
export const isWebSocket = (head: HttpHead): boolean =>
  head.method === "GET" && head.version === "1.1" && !hasBody(head) && isListed(head, "upgrade", "websocket")

const isListed = (head: HttpHead, header: string, only: string): boolean => {
  const listed = HttpHeaders.listOf(head.headers, header)
  return listed.length === 1 && listed[0] === only
}

const wrong = (status: number, problem: string): HttpProblem => ({ status, problem })

/** Why a request cannot be passed on, whatever its path; undefined when it can. */
export const problemOf = (head: HttpHead): HttpProblem | undefined => {
  const { headers, method, target, version } = head
  if (version !== "1.1" && version !== "1.0") return wrong(505, `HTTP/${version} is not spoken here; use HTTP/1.1`)
  if (method === "CONNECT" || method === "TRACE") return wrong(405, `${method} is not passed on`)
  if (!ORIGIN_FORM.test(target)) {
    return wrong(400, "its address must begin with / and have only characters that need no encoding")
  }
  const hosts = HttpHeaders.valuesOf(headers, "host")
  if (hosts.length > 1 || (hosts.length === 0 && version === "1.1") || !hosts.every((host) => HOST.test(host))) {
    return wrong(400, "it must name one host, in its Host header")
  }
  if (!isChunked(head)) return undefined
  if (version === "1.0") return wrong(400, "HTTP/1.0 has no Transfer-Encoding")
  if (HttpHeaders.valuesOf(headers, "content-length").length > 0) {
    return wrong(400, "it has both Content-Length and Transfer-Encoding")
  }
  return isListed(head, "transfer-encoding", "chunked")
    ? undefined
    : wrong(501, "of transfer encodings only chunked is understood")
}
