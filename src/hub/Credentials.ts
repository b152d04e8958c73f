/**
 * The one token of an HTTP request (spec: hub-api 0.2): the Authorization header, else the cookie, else the deprecated
 * query parameter. The first that is present counts alone, valid or not, so that a request never has two identities.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Redacted from "effect/Redacted"

/** The scheme, and an empty token too: the header then counts, and holds nothing. */
const BEARER = /^Bearer(?: |$)/
const COOKIE = "tela_viewer"
const PARAMETER = "token"

/** Where a token came from. */
export type Source = "header" | "cookie" | "query"

export interface Credential {
  readonly token: Redacted.Redacted
  readonly source: Source
}

/** The token in the Authorization header. */
export const headerToken = ({ headers }: HttpServerRequest): Redacted.Redacted | undefined => {
  const { authorization } = headers
  return authorization !== undefined && BEARER.test(authorization)
    ? Redacted.make(authorization.replace(BEARER, ""))
    : undefined
}

/** The query of an address: everything behind its first question mark. */
export const queryOf = (url: string): string | undefined => {
  const mark = url.indexOf("?")
  return mark === -1 ? undefined : url.slice(mark + 1)
}

/** The token and its source, or undefined when the request has none. */
export const credentialOf = (request: HttpServerRequest): Credential | undefined => {
  const header = headerToken(request)
  if (header !== undefined) return { token: header, source: "header" }
  const cookie = request.cookies[COOKIE]
  if (cookie !== undefined) return { token: Redacted.make(cookie), source: "cookie" }
  const parameter = new URLSearchParams(queryOf(request.url)).get(PARAMETER)
  return parameter === null ? undefined : { token: Redacted.make(parameter), source: "query" }
}

/** The token, or undefined when the request has none. */
export const tokenOf = (request: HttpServerRequest): Redacted.Redacted | undefined => credentialOf(request)?.token
