/** Identities with their permissions on machines: reading, changing, granting, explaining (spec: hub-api 1.8, 1.9). */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import {
  BadRequest,
  Busy,
  Conflict,
  Credentials,
  Forbidden,
  id,
  lifetime,
  NotFound,
  optional,
  Precondition,
  StorageFailed,
  StorageFull,
  TooManyRequests,
  Unauthorized
} from "./Shared.ts"

/** What one identity may do on one machine; `*` is every machine. */
export const MachineAccess = Schema.Struct({
  machineId: Schema.String,
  permissions: Schema.Array(Schema.String),
  services: optional(Schema.Array(Schema.String)),
  /** Ours: when the first of these permissions ends. */
  expiresAt: optional(Schema.String)
})
export type MachineAccess = typeof MachineAccess.Type

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

/** The identity has another version than If-Match says; `current` is how it stands. Nothing has changed. */
export const Stale = Schema.Struct({
  error: Schema.String,
  id: Schema.String,
  version: Schema.Int,
  current: AccessEntry
}).annotations(HttpApiSchema.annotations({ status: 412 }))
export type Stale = typeof Stale.Type

/** The name of a machine, or `*`. */
const machine = HttpApiSchema.param("machine", Schema.String)

/** `expiresAt` is ours: a time, or null for an identity that does not expire. `user` and "" are the same role. */
export const AccessPatch = Schema.Struct({
  id: optional(Schema.String),
  role: optional(Schema.String),
  expiresAt: Schema.optionalWith(Schema.NullOr(Schema.String), { exact: true })
})

/** What became of a change; with a new id when it was a change of name. */
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

/** What the identity holds on the machine from now on. */
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

/** The identity holds nothing of its own on the machine any more. */
export const MachineRevoked = Schema.Struct({
  status: Schema.Literal("revoked"),
  id: Schema.String,
  machineId: Schema.String,
  version: Schema.Int
})

/**
 * What `tela admin access explain` asks, all in the query. `admin` alone needs no machine; `at` is a time, the present
 * unless given.
 */
export const ExplainQuery = Schema.Struct({
  id: Schema.optional(Schema.String),
  machine: Schema.optional(Schema.String),
  permission: Schema.optional(Schema.String),
  service: Schema.optional(Schema.String),
  at: Schema.optional(Schema.String)
})

/** What policy answers. */
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

/** Identities with their permissions. */
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
