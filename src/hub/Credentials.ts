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

/** The token, or undefined when the request has none. */
export const tokenOf = (request: HttpServerRequest): Redacted.Redacted | undefined => {
  const { authorization } = request.headers
  if (authorization !== undefined && BEARER.test(authorization)) return Redacted.make(authorization.replace(BEARER, ""))
  const cookie = request.cookies[COOKIE]
  if (cookie !== undefined) return Redacted.make(cookie)
  const [, query] = request.url.split("?", 2)
  const parameter = new URLSearchParams(query).get(PARAMETER)
  return parameter === null ? undefined : Redacted.make(parameter)
}
