/** The hub itself: how it is, what it logged, starting it anew, updating it (spec: hub-api 1.14 to 1.17). */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { LogsAnswer, SourcesAnswer, UpdateStatus } from "../Management.ts"
import {
  BadGateway,
  BadRequest,
  Busy,
  Conflict,
  Credentials,
  Forbidden,
  NotFound,
  optional,
  StorageFailed,
  TooManyRequests,
  Unauthorized
} from "./Shared.ts"

/** The hub will do it after this answer. */
export const Begun = Schema.Struct({
  ok: Schema.Literal(true),
  message: Schema.String,
  /** Ours: the version that will run then. */
  version: optional(Schema.String)
})

/** Ours: the hub in numbers. Sizes are bytes, times RFC 3339; `uptime` is whole seconds. */
export const HubDetails = Schema.Struct({
  version: Schema.String,
  hubId: Schema.String,
  hubName: optional(Schema.String),
  startedAt: Schema.String,
  uptime: Schema.Int,
  /** How long it waits, when it stops, for those who cannot go on elsewhere, in milliseconds. */
  shutdownTimeout: Schema.Int,
  machines: Schema.Struct({ online: Schema.Int, known: Schema.Int }),
  sessions: Schema.Int,
  /** What passed between clients and agents since the start, both ways. */
  relayedBytes: Schema.Int,
  /** What waits for peers that have not read it yet. */
  heldBytes: Schema.Int,
  memory: Schema.Struct({ resident: Schema.Int, heap: Schema.Int }),
  /** When the certificate that the hub itself serves ends; absent behind a proxy. */
  certificate: optional(Schema.Struct({ expiresAt: Schema.String })),
  /** Absent when there is nothing that could be updated. */
  update: optional(UpdateStatus)
})
export type HubDetails = typeof HubDetails.Type

/** All texts, since a deployed hub takes what is no number for none. All but `lines` is ours. */
export const LogsParameters = Schema.Struct({
  lines: Schema.optional(Schema.String),
  level: Schema.optional(Schema.String),
  after: Schema.optional(Schema.String),
  wait: Schema.optional(Schema.String)
})

/** What is known of the hub's release channel. */
export const HubUpdateStatus = Schema.Struct({
  ...UpdateStatus.fields,
  sources: optional(Schema.Record({ key: Schema.String, value: Schema.String }))
})

export const UpdateRequest = Schema.Struct({ version: optional(Schema.String) })

/** `manifestBase` is where the channel's manifest is. */
export const ChannelPatch = Schema.Struct({
  channel: optional(Schema.String),
  manifestBase: optional(Schema.String)
})

export const ChannelPatched = Schema.Struct({
  ok: Schema.Literal(true),
  channel: Schema.String,
  manifestUrl: Schema.String
})

export const SourceRequest = Schema.Struct({ base: Schema.String })

/** The name of a channel. */
const name = HttpApiSchema.param("name", Schema.String)

/** The hub itself. */
export class OperationsGroup extends HttpApiGroup.make("operations")
  .add(HttpApiEndpoint.get("details", "/api/admin/hub").setHeaders(Credentials).addSuccess(HubDetails))
  .add(
    HttpApiEndpoint.get("logs", "/api/admin/logs")
      .setHeaders(Credentials)
      .setUrlParams(LogsParameters)
      .addSuccess(LogsAnswer)
  )
  .add(HttpApiEndpoint.post("restart", "/api/admin/restart").setHeaders(Credentials).addSuccess(Begun))
  .add(HttpApiEndpoint.get("updateStatus", "/api/admin/update").setHeaders(Credentials).addSuccess(HubUpdateStatus))
  .add(
    HttpApiEndpoint.patch("setChannel", "/api/admin/update")
      .setHeaders(Credentials)
      .setPayload(ChannelPatch)
      .addSuccess(ChannelPatched)
  )
  .add(
    HttpApiEndpoint.post("update", "/api/admin/update")
      .setHeaders(Credentials)
      .setPayload(UpdateRequest)
      .addSuccess(Begun)
  )
  .add(HttpApiEndpoint.get("sources", "/api/admin/update/sources").setHeaders(Credentials).addSuccess(SourcesAnswer))
  .add(
    HttpApiEndpoint.put("setSource")`/api/admin/update/sources/${name}`
      .setHeaders(Credentials)
      .setPayload(SourceRequest)
      .addSuccess(Schema.Struct({ ok: Schema.Literal(true), name: Schema.String, base: Schema.String }))
  )
  .add(
    HttpApiEndpoint.del("removeSource")`/api/admin/update/sources/${name}`
      .setHeaders(Credentials)
      .addSuccess(Schema.Struct({ ok: Schema.Literal(true), name: Schema.String }))
  )
  .addError(BadRequest)
  .addError(Unauthorized)
  .addError(Forbidden)
  .addError(NotFound)
  .addError(Conflict)
  .addError(TooManyRequests)
  .addError(StorageFailed)
  .addError(BadGateway)
  .addError(Busy)
  .annotate(OpenApi.Description, "The hub itself. For owners and admins; what code it runs, for owners") {}
