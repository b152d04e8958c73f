/** What the groups of the interface have in common: kinds of members, request headers, refusals. */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import * as Token from "../../crypto/Token.ts"

/** A member that is absent, or null, when there is nothing to say. */
export const optional = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.optionalWith(schema, { nullable: true, exact: true })

/** A secret as an answer has it: one that a person can be shown, and a header can carry. */
export const Secret = Schema.Redacted(Schema.NonEmptyString.pipe(Schema.pattern(Token.format)))

/** When a token was made, and when it ends or ended. */
export const lifetime = {
  issuedAt: optional(Schema.String),
  expiresAt: optional(Schema.String),
  revokedAt: optional(Schema.String)
}

/** The one way that our programs send a token. The hub takes others too (spec: hub-api 0.2). */
export const Credentials = Schema.Struct({ authorization: Schema.optional(Schema.String) })

/** With If-Match the change is made only to the version that the caller has seen. */
export const Precondition = Schema.Struct({
  authorization: Schema.optional(Schema.String),
  "if-match": Schema.optional(Schema.String)
})

/** A part of a path: the id of an identity or of a pairing code. */
export const id = HttpApiSchema.param("id", Schema.String)

/** A refusal: a sentence in `error`, and the status it comes with. */
const problem = <Status extends number>(status: Status) =>
  Schema.transform(
    Schema.Struct({ error: Schema.String }),
    Schema.Struct({ status: Schema.Literal(status), error: Schema.String }),
    { strict: true, decode: ({ error }) => ({ status, error }), encode: ({ error }) => ({ error }) }
  ).annotations(HttpApiSchema.annotations({ status }))

/** The request makes no sense: a word nobody knows, a malformed time, a missing member. */
export const BadRequest = problem(400)
/** The token is missing, unknown, revoked or expired. */
export const Unauthorized = problem(401)
/** The token is good, but its identity may not do this. */
export const Forbidden = problem(403)
/** There is no such identity, permission or code. */
export const NotFound = problem(404)
/** It cannot be done as things stand: a name is taken, the last owner would go, the hub's file is broken. */
export const Conflict = problem(409)
/** Too many requests of this identity, address or code; Retry-After says when to ask again. */
export const TooManyRequests = problem(429)
/** The change could not be stored; nothing has changed. */
export const StorageFailed = problem(500)
/** The agent that was asked left before it answered, or its answer is none; what it did is not known. */
export const BadGateway = problem(502)
/** Too many changes wait, or another program writes; nothing has changed. */
export const Busy = problem(503)
/** The agent that was asked did not answer in time; what it did is not known. */
export const GatewayTimeout = problem(504)
/** No space is left where the change would be stored; nothing has changed. */
export const StorageFull = problem(507)
