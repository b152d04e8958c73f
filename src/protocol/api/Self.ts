/** What any identity may ask: who it is, and what happened where it may look (spec: hub-api 1.4, 5). */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { MachineAccess } from "./Access.ts"
import { Credentials, optional, TooManyRequests, Unauthorized } from "./Shared.ts"

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
