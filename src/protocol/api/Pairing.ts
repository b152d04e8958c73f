/** Pairing codes: made, listed, cancelled and redeemed (spec: hub-api 4). */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import {
  BadRequest,
  Busy,
  Conflict,
  Credentials,
  Forbidden,
  id,
  NotFound,
  optional,
  Secret,
  StorageFailed,
  StorageFull,
  TooManyRequests,
  Unauthorized
} from "./Shared.ts"

/** `expiresIn` is whole seconds or a duration such as `24h`; 24 h unless given. */
export const PairCodeRequest = Schema.Struct({
  type: optional(Schema.String),
  machineId: optional(Schema.String),
  machines: optional(Schema.Array(Schema.String)),
  role: optional(Schema.String),
  expiresIn: optional(Schema.Union(Schema.Number, Schema.String))
})

/** The code, which no other answer holds. */
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

/** The token that the code was worth, and whose it is. */
export const RedeemAnswer = Schema.Struct({
  token: Secret,
  identity: Schema.String,
  type: Schema.String,
  /** Ours: the machine of a register code. Text, since deployed agents read every member as one. */
  machine: optional(Schema.String)
})

/** Pairing codes: made by administrators, redeemed by whoever has one. */
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
