/**
 * The administration part of the hub's HTTP interface: tokens, access, pairing, history (spec: hub-api 1.4 to 1.9, 4). Paths,
 * members and status codes are the deployed hub's, whose tools work with it; what is ours is additive and marked so.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import * as Token from "../crypto/Token.ts"

const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { nullable: true, exact: true })

/** A secret as an answer has it: one that a person can be shown, and a header can carry. */
const Secret = Schema.Redacted(Schema.NonEmptyString.pipe(Schema.pattern(Token.format)))

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
export const NotFound = problem(404)
/** It cannot be done as things stand: a name is taken, the last owner would go, the hub's file is broken. */
export const Conflict = problem(409)
/** The code was redeemed, cancelled, or has expired. */
export const TooManyRequests = problem(429)
/** The change could not be stored; nothing has changed. */
export const StorageFailed = problem(500)
export const Busy = problem(503)
/** No space is left where the change would be stored; nothing has changed. */
export const StorageFull = problem(507)

/** What one identity may do on one machine; `*` is every machine. */
export const MachineAccess = Schema.Struct({
  machineId: Schema.String,
  permissions: Schema.Array(Schema.String),
  services: optional(Schema.Array(Schema.String)),
  /** Ours: when the first of these permissions ends. */
  expiresAt: optional(Schema.String)
})
export type MachineAccess = typeof MachineAccess.Type

const lifetime = {
  issuedAt: optional(Schema.String),
  expiresAt: optional(Schema.String),
  revokedAt: optional(Schema.String)
}

/** An identity with its permissions (spec: hub-api 1.8). */
export const AccessEntry = Schema.Struct({
  id: Schema.String,
  role: Schema.String,
  tokenPreview: Schema.String,
  machines: Schema.Array(MachineAccess),
  ...lifetime,
  version: Schema.Int,
  wildcardInherited: optional(Schema.Array(Schema.String)),
  wildcardInheritedServices: optional(Schema.Array(Schema.String))
})
export type AccessEntry = typeof AccessEntry.Type

/** An identity as the list of tokens has it. */
export const TokenEntry = Schema.Struct({
  id: Schema.String,
  role: Schema.String,
  tokenPreview: Schema.String,
  ...lifetime
})
export type TokenEntry = typeof TokenEntry.Type

/** The identity has another version than If-Match says; `current` is how it stands. Nothing has changed. */
export const Stale = Schema.Struct({
  error: Schema.String,
  id: Schema.String,
  version: Schema.Int,
  current: AccessEntry
}).annotations(HttpApiSchema.annotations({ status: 412 }))
export type Stale = typeof Stale.Type

/** The one way that our programs send a token. The hub takes others too (spec: hub-api 0.2). */
const Credentials = Schema.Struct({ authorization: Schema.optional(Schema.String) })

/** With If-Match the change is made only to the version that the caller has seen. */
const Precondition = Schema.Struct({
  authorization: Schema.optional(Schema.String),
  "if-match": Schema.optional(Schema.String)
})

/** Paths in which `id` is an identity's, and `machine` a machine's name or `*`. */
const id = HttpApiSchema.param("id", Schema.String)
const machine = HttpApiSchema.param("machine", Schema.String)

const created = <A, I>(schema: Schema.Schema<A, I>) => schema.annotations(HttpApiSchema.annotations({ status: 201 }))

export const NewTokenRequest = Schema.Struct({
  id: Schema.String,
  role: optional(Schema.String),
  expiresAt: optional(Schema.String)
})

/** The only answers, with those of rotate and pair, that hold a token. */
export const NewTokenAnswer = Schema.Struct({
  id: Schema.String,
  role: Schema.String,
  token: Secret,
  version: Schema.Int,
  expiresAt: optional(Schema.String)
})

export const RevokeAnswer = Schema.Struct({
  status: Schema.Literal("revoked", "already-revoked"),
  id: Schema.String,
  revokedAt: Schema.String,
  version: optional(Schema.Int)
})

export const RotateAnswer = Schema.Struct({
  status: Schema.Literal("rotated"),
  id: Schema.String,
  token: Secret,
  version: Schema.Int
})

export class TokensGroup extends HttpApiGroup.make("tokens")
  .add(
    HttpApiEndpoint.get("list", "/api/admin/tokens")
      .setHeaders(Credentials)
      .addSuccess(Schema.Struct({ tokens: Schema.Array(TokenEntry) }))
  )
  .add(
    HttpApiEndpoint.post("add", "/api/admin/tokens")
      .setHeaders(Credentials)
      .setPayload(NewTokenRequest)
      .addSuccess(created(NewTokenAnswer))
  )
  .add(
    HttpApiEndpoint.post("revoke")`/api/admin/tokens/${id}/revoke`
      .setHeaders(Precondition)
      .addSuccess(RevokeAnswer)
      .addError(NotFound)
      .addError(Stale)
  )
  .add(
    HttpApiEndpoint.post("rotate")`/api/admin/rotate/${id}`
      .setHeaders(Precondition)
      .addSuccess(RotateAnswer)
      .addError(NotFound)
      .addError(Stale)
  )
  .addError(BadRequest)
  .addError(Unauthorized)
  .addError(Forbidden)
  .addError(Conflict)
  .addError(TooManyRequests)
  .addError(StorageFailed)
  .addError(Busy)
  .addError(StorageFull)
  .annotate(OpenApi.Description, "Identities as tokens: listing, adding, revoking, rotating. For owners and admins") {}

/** `expiresAt` is ours: a time, or null for an identity that does not expire. `user` and "" are the same role. */
export const AccessPatch = Schema.Struct({
  id: optional(Schema.String),
  role: optional(Schema.String),
  expiresAt: Schema.optionalWith(Schema.NullOr(Schema.String), { exact: true })
})

export const AccessUpdated = Schema.Struct({
  status: Schema.Literal("updated"),
  id: Schema.String,
  version: Schema.Int
})

/** Sets exactly these permissions. `expiresAt` is ours. */
export const GrantRequest = Schema.Struct({
  permissions: Schema.Array(Schema.String),
  services: optional(Schema.Array(Schema.String)),
  expiresAt: optional(Schema.String)
})

export const GrantAnswer = Schema.Struct({
  status: Schema.Literal("updated"),
  id: Schema.String,
  machineId: Schema.String,
  permissions: Schema.Array(Schema.String),
  version: Schema.Int,
  services: optional(Schema.Array(Schema.String)),
  expiresAt: optional(Schema.String),
  /** Ours: what the identity held there before; null when it held nothing. */
  replaced: optional(MachineAccess),
  /** Ours: whether the hub has seen a machine of this name; always true for `*`. */
  machineKnown: optional(Schema.Boolean)
})

export const MachineRevoked = Schema.Struct({
  status: Schema.Literal("revoked"),
  id: Schema.String,
  machineId: Schema.String,
  version: Schema.Int
})

/** What `tela admin access explain` asks, all in the query; `admin` alone needs no machine. `at` is a time; the present unless given. */
export const ExplainQuery = Schema.Struct({
  id: Schema.optional(Schema.String),
  machine: Schema.optional(Schema.String),
  permission: Schema.optional(Schema.String),
  service: Schema.optional(Schema.String),
  at: Schema.optional(Schema.String)
})

export const Explanation = Schema.Struct({
  permit: Schema.Boolean,
  /** The rule that decided, in words. */
  rule: Schema.String,
  /** The only services it covers; absent for all. */
  services: optional(Schema.Array(Schema.String)),
  /** When an expiry that the permission rests on passes. */
  until: optional(Schema.String),
  at: Schema.String
})

export class AccessGroup extends HttpApiGroup.make("access")
  .add(
    HttpApiEndpoint.get("list", "/api/admin/access")
      .setHeaders(Credentials)
      .addSuccess(Schema.Struct({ access: Schema.Array(AccessEntry) }))
  )
  .add(HttpApiEndpoint.get("get")`/api/admin/access/${id}`.setHeaders(Credentials).addSuccess(AccessEntry))
  .add(
    HttpApiEndpoint.patch("update")`/api/admin/access/${id}`
      .setHeaders(Precondition)
      .setPayload(AccessPatch)
      .addSuccess(AccessUpdated)
      .addError(Stale)
  )
  .add(
    HttpApiEndpoint.del("remove")`/api/admin/access/${id}`
      .setHeaders(Precondition)
      .addSuccess(Schema.Struct({ status: Schema.Literal("removed"), id: Schema.String }))
      .addError(Stale)
  )
  .add(
    HttpApiEndpoint.put("grant")`/api/admin/access/${id}/machines/${machine}`
      .setHeaders(Precondition)
      .setPayload(GrantRequest)
      .addSuccess(GrantAnswer)
      .addError(Stale)
  )
  .add(
    HttpApiEndpoint.del("revoke")`/api/admin/access/${id}/machines/${machine}`
      .setHeaders(Precondition)
      .addSuccess(MachineRevoked)
      .addError(Stale)
  )
  .add(
    HttpApiEndpoint.get("explain", "/api/admin/explain")
      .setHeaders(Credentials)
      .setUrlParams(ExplainQuery)
      .addSuccess(Explanation)
  )
  .addError(BadRequest)
  .addError(Unauthorized)
  .addError(Forbidden)
  .addError(NotFound)
  .addError(Conflict)
  .addError(TooManyRequests)
  .addError(StorageFailed)
  .addError(Busy)
  .addError(StorageFull)
  .annotate(OpenApi.Description, "Identities with their permissions on machines. For owners and admins") {}

/** `expiresIn` is whole seconds or a duration such as `24h`; 24 h unless given. */
export const PairCodeRequest = Schema.Struct({
  type: optional(Schema.String),
  machineId: optional(Schema.String),
  machines: optional(Schema.Array(Schema.String)),
  role: optional(Schema.String),
  expiresIn: optional(Schema.Union(Schema.Number, Schema.String))
})

export const PairCodeAnswer = Schema.Struct({
  code: Secret,
  type: Schema.String,
  expiresAt: Schema.String,
  /** Ours: what the code is called in lists. */
  id: optional(Schema.String),
  /** Ours: the machines that it grants. */
  machines: optional(Schema.Array(Schema.String))
})

/** Ours: a code that can still be redeemed. The code itself is not kept. */
export const PairCodeEntry = Schema.Struct({
  id: Schema.String,
  type: Schema.String,
  machines: Schema.Array(Schema.String),
  role: Schema.String,
  createdBy: Schema.String,
  createdAt: Schema.String,
  expiresAt: Schema.String
})
export type PairCodeEntry = typeof PairCodeEntry.Type

/**
 * `machineId` is what deployed agents send with a register code; it must then be the code's. `type` is ours: a code of
 * another type is not spent, and answered 409.
 */
export const RedeemRequest = Schema.Struct({
  code: Schema.String,
  machineId: optional(Schema.String),
  type: optional(Schema.String)
})

export const RedeemAnswer = Schema.Struct({
  token: Secret,
  identity: Schema.String,
  type: Schema.String,
  /** Ours: the machine of a register code. Text, since deployed agents read every member as one. */
  machine: optional(Schema.String)
})

export class PairingGroup extends HttpApiGroup.make("pairing")
  .add(
    HttpApiEndpoint.post("create", "/api/admin/pair-code")
      .setHeaders(Credentials)
      .setPayload(PairCodeRequest)
      .addSuccess(PairCodeAnswer)
      .addError(Forbidden)
  )
  .add(
    HttpApiEndpoint.get("list", "/api/admin/pair-code")
      .setHeaders(Credentials)
      .addSuccess(Schema.Struct({ codes: Schema.Array(PairCodeEntry) }))
      .addError(Forbidden)
  )
  .add(
    HttpApiEndpoint.del("cancel")`/api/admin/pair-code/${id}`
      .setHeaders(Credentials)
      .addSuccess(Schema.Struct({ status: Schema.Literal("cancelled"), id: Schema.String }))
      .addError(Forbidden)
      .addError(NotFound)
  )
  .add(HttpApiEndpoint.post("redeem", "/api/pair").setPayload(RedeemRequest).addSuccess(RedeemAnswer))
  .addError(BadRequest)
  .addError(Unauthorized)
  .addError(Conflict)
  .addError(TooManyRequests)
  .addError(StorageFailed)
  .addError(Busy)
  .addError(StorageFull)
  .annotate(
    OpenApi.Description,
    "Codes that are redeemed once for a token: made by owners and admins, redeemed by anybody"
  ) {}

/** One event. The first four members are the deployed hub's; the others are ours, and shown to those who may see them. */
export const HistoryEvent = Schema.Struct({
  machineId: Schema.String,
  event: Schema.String,
  timestamp: Schema.String,
  detail: optional(Schema.String),
  actor: optional(Schema.String),
  actorNow: optional(Schema.String),
  target: optional(Schema.String),
  targetNow: optional(Schema.String),
  address: optional(Schema.String),
  outcome: optional(Schema.String),
  reason: optional(Schema.String),
  sequence: optional(Schema.Int)
})
export type HistoryEvent = typeof HistoryEvent.Type

/** A number in an address. What is none becomes NaN here, so that the hub can say in a sentence what it wants. */
const NumberInQuery = Schema.transform(Schema.String, Schema.Number, { strict: true, decode: Number, encode: String })

/** Ours: how many events, 1 to 1,000, and which. Deployed hubs ignore all of it. */
export const HistoryQuery = Schema.Struct({
  limit: Schema.optional(NumberInQuery),
  before: Schema.optional(NumberInQuery),
  machine: Schema.optional(Schema.String),
  identity: Schema.optional(Schema.String)
})

/** Clients key on the word and on the empty list. */
export const HistoryAuthRequired = Schema.Struct({
  error: Schema.Literal("auth_required"),
  events: Schema.Array(HistoryEvent)
}).annotations(HttpApiSchema.annotations({ status: 401 }))

/** Ours: whom the hub takes the token for. */
export const WhoAmI = Schema.Struct({
  id: Schema.String,
  role: Schema.String,
  issuedAt: optional(Schema.String),
  expiresAt: optional(Schema.String),
  machines: Schema.Array(MachineAccess)
})
export type WhoAmI = typeof WhoAmI.Type

/** What any identity may ask about itself and what it may see. */
export class SelfGroup extends HttpApiGroup.make("self")
  .add(
    HttpApiEndpoint.get("history", "/api/history")
      .setHeaders(Credentials)
      .setUrlParams(HistoryQuery)
      .addSuccess(Schema.Struct({ events: Schema.Array(HistoryEvent), timestamp: optional(Schema.String) }))
      .addError(HistoryAuthRequired)
  )
  .add(HttpApiEndpoint.get("whoami", "/api/whoami").setHeaders(Credentials).addSuccess(WhoAmI).addError(Unauthorized))
  .addError(TooManyRequests)
  .annotate(OpenApi.Description, "What any identity may ask about itself, and what happened where it may look") {}

/** The deployed hub's other name for /api/history. */
export const historyPaths = ["/api/history", "/api/admin/history"] as const
export const openApiPath = "/api/openapi.json" as const
