/** Identities as tokens: listing, adding, revoking, rotating (spec: hub-api 1.5 to 1.7). */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { Stale } from "./Access.ts"
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
  Secret,
  StorageFailed,
  StorageFull,
  TooManyRequests,
  Unauthorized
} from "./Shared.ts"

/** An identity as the list of tokens has it. */
export const TokenEntry = Schema.Struct({
  id: Schema.String,
  role: Schema.String,
  tokenPreview: Schema.String,
  ...lifetime
})
export type TokenEntry = typeof TokenEntry.Type

/** `role` is user unless given. */
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
}).annotations(HttpApiSchema.annotations({ status: 201 }))

/** The token gives nothing any more; `version` is there when that is new. */
export const RevokeAnswer = Schema.Struct({
  status: Schema.Literal("revoked", "already-revoked"),
  id: Schema.String,
  revokedAt: Schema.String,
  version: optional(Schema.Int)
})

/** The new token; the one before gives nothing any more. */
export const RotateAnswer = Schema.Struct({
  status: Schema.Literal("rotated"),
  id: Schema.String,
  token: Secret,
  version: Schema.Int
})

/** Identities as tokens. */
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
      .addSuccess(NewTokenAnswer)
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
