/**
 * Who asks. The administration takes a token from the Authorization header alone: a browser adds that to no request by
 * itself, so that no other site's page can act through somebody's cookie, and it gets into no address that is logged.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Redacted } from "effect/Redacted"
import { Audit } from "../../store/Audit.ts"
import { Authority } from "../Authority.ts"
import type { Caller } from "../Authority.ts"
import { headerToken } from "../Credentials.ts"
import { forbidden, unknownCaller } from "./Problem.ts"
import type { Problem } from "./Problem.ts"

/** The address a request came from, as the listener found it. */
export const addressOf = (request: HttpServerRequest): string =>
  Option.getOrElse(request.remoteAddress, () => "unknown")

const noToken = "no token was given; send one as Authorization: Bearer <token>"
const unknownToken = "this hub does not know the token: it is wrong, revoked or expired"

/** Records an attempt of somebody who may not. */
const denying = Effect.fnUntraced(function* (request: HttpServerRequest) {
  const audit = yield* Audit
  const { route } = yield* HttpRouter.RouteContext
  return (why: string, actor?: string) =>
    audit.note({
      action: "admin-denied",
      from: addressOf(request),
      outcome: "denied",
      why,
      // The route, not the path: people put tokens where an id belongs.
      detail: `${request.method} ${route.path}`,
      ...(actor !== undefined && { actor })
    })
})

/** Notes that somebody came with a token that is nobody's: guessing is to be seen, wherever it is tried. */
export const unknown = (
  request: HttpServerRequest,
  token: Redacted | undefined
): Effect.Effect<void, never, Audit | HttpRouter.RouteContext> =>
  token === undefined ? Effect.void : Effect.map(denying(request), (deny) => deny(unknownToken))

/** Anybody whose token is valid; 401 for others, of whom those are recorded who came with a token. */
export const somebody = Effect.fnUntraced(function* (
  request: HttpServerRequest
): Effect.fn.Return<Caller, Problem, Authority | Audit | HttpRouter.RouteContext> {
  const token = headerToken(request)
  const identity = (yield* Authority).identify(token)
  if (identity !== undefined) return { identity, from: addressOf(request) }
  yield* unknown(request, token)
  return yield* unknownCaller(token === undefined ? noToken : unknownToken)
})

/** Somebody who may administer the hub; 401 or 403 for others, whose attempt is recorded. */
export const administrator = Effect.fnUntraced(function* (
  request: HttpServerRequest
): Effect.fn.Return<Caller, Problem, Authority | Audit | HttpRouter.RouteContext> {
  const authority = yield* Authority
  const deny = yield* denying(request)
  // Here without a token, too.
  if (headerToken(request) === undefined) deny(noToken)
  const caller = yield* somebody(request)
  const decision = authority.ask({ identity: caller.identity, permission: "admin" })
  if (decision.permit) return caller
  deny(decision.rule, caller.identity.id)
  return yield* forbidden(`${decision.rule}; this needs the token of an owner or admin`)
})

/** An owner; 401 or 403 for others, admins included, whose attempt is recorded. `what` ends the sentence about that. */
export const owner = Effect.fnUntraced(function* (
  request: HttpServerRequest,
  what: string
): Effect.fn.Return<Caller, Problem, Authority | Audit | HttpRouter.RouteContext> {
  const caller = yield* administrator(request)
  if (caller.identity.role === "owner") return caller
  const why = `only an owner may ${what}`
  const deny = yield* denying(request)
  deny(why, caller.identity.id)
  return yield* forbidden(why)
})
