/**
 * Who asks. The administration takes a token from the Authorization header alone: a browser adds that to no request by
 * itself, so that no other site's page can act through somebody's cookie, and it gets into no address that is logged.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Audit } from "../../store/Audit.ts"
import { Authority } from "../Authority.ts"
import type { Caller } from "../Authority.ts"
import { headerToken } from "../Credentials.ts"
import { forbidden, unknownCaller } from "./Problem.ts"
import type { Problem } from "./Problem.ts"

/** The address a request came from, as the listener found it. */
export const addressOf = (request: HttpServerRequest): string =>
  Option.getOrElse(request.remoteAddress, () => "unknown")

const whoever = (request: HttpServerRequest) =>
  headerToken(request) === undefined
    ? "no token was given; send one as Authorization: Bearer <token>"
    : "this hub does not know the token: it is wrong, revoked or expired"

/** Anybody whose token is valid; 401 for others. */
export const somebody = (request: HttpServerRequest): Effect.Effect<Caller, Problem, Authority> =>
  Effect.flatMap(Authority, (authority) => {
    const identity = authority.identify(headerToken(request))
    return identity === undefined
      ? Effect.fail(unknownCaller(whoever(request)))
      : Effect.succeed({ identity, from: addressOf(request) })
  })

/** Records an attempt of somebody who may not. */
const denying = (request: HttpServerRequest) =>
  Effect.gen(function* () {
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

/** Somebody who may administer the hub; 401 or 403 for others, whose attempt is recorded. */
export const administrator = (
  request: HttpServerRequest
): Effect.Effect<Caller, Problem, Authority | Audit | HttpRouter.RouteContext> =>
  Effect.gen(function* () {
    const authority = yield* Authority
    const deny = yield* denying(request)
    const caller = yield* Effect.tapError(somebody(request), ({ error }) => Effect.sync(() => deny(error)))
    const decision = authority.ask({ identity: caller.identity, permission: "admin" })
    if (decision.permit) return caller
    deny(decision.rule, caller.identity.id)
    return yield* forbidden(`${decision.rule}; this needs the token of an owner or admin`)
  })

/** An owner; 401 or 403 for others, admins included, whose attempt is recorded. `what` ends the sentence about that. */
export const owner = (
  request: HttpServerRequest,
  what: string
): Effect.Effect<Caller, Problem, Authority | Audit | HttpRouter.RouteContext> =>
  Effect.gen(function* () {
    const caller = yield* administrator(request)
    if (caller.identity.role === "owner") return caller
    const why = `only an owner may ${what}`
    const deny = yield* denying(request)
    deny(why, caller.identity.id)
    return yield* forbidden(why)
  })
