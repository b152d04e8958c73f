/**
 * Release channels that a hub serves: to everybody, and filled by owners (spec: hub-api 1.18, 1.19). Files pass as they
 * are, of any size.
 */
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
  NotFound,
  optional,
  StorageFailed,
  StorageFull,
  TooManyRequests,
  Unauthorized
} from "./Shared.ts"

/** A file's bytes. */
const Bytes = HttpApiSchema.Uint8Array()

/** Parts of a path. */
const channel = HttpApiSchema.param("channel", Schema.String)
const file = HttpApiSchema.param("file", Schema.String)
const manifest = HttpApiSchema.param("manifest", Schema.String)

/** That there are channels here. */
export const ChannelService = Schema.Struct({ service: Schema.Literal("telahubd-channels"), version: Schema.String })

/** A file was taken. `path` is where it is on the hub's machine. */
export const FileTaken = Schema.Struct({
  ok: Schema.Literal(true),
  channel: Schema.String,
  name: Schema.String,
  size: Schema.Int,
  path: optional(Schema.String)
})

/** What was uploaded under a name, published or not: nobody has to send it again. Ours. */
export const FileThere = Schema.Struct({
  channel: Schema.String,
  name: Schema.String,
  size: Schema.Int,
  sha256: Schema.String
})

/**
 * Makes an uploaded release the newest of its channel. Deployed tools may send `baseUrl` too, which is in the signed
 * manifest here.
 */
export const PublishRequest = Schema.Struct({ channel: Schema.String, tag: Schema.String })

export const ReleasePublished = Schema.Struct({
  ok: Schema.Literal(true),
  channel: Schema.String,
  tag: Schema.String,
  publishedAt: Schema.String,
  downloadBase: Schema.String,
  binaries: Schema.Record({ key: Schema.String, value: Schema.Struct({ sha256: Schema.String, size: Schema.Int }) }),
  manifestPath: optional(Schema.String)
})

/** The file is larger than a hub takes. `maxSize` is a text, as deployed tools read it. */
const TooLarge = Schema.transform(
  Schema.Struct({ error: Schema.String, maxSize: optional(Schema.String) }),
  Schema.Struct({ status: Schema.Literal(413), error: Schema.String }),
  {
    strict: true,
    decode: ({ error }) => ({ status: 413 as const, error }),
    encode: ({ error }) => ({ error })
  }
).annotations(HttpApiSchema.annotations({ status: 413 }))

/** It is not signed with the hub's key for releases, or is not what is signed. */
const NotTrusted = Schema.transform(
  Schema.Struct({ error: Schema.String }),
  Schema.Struct({ status: Schema.Literal(422), error: Schema.String }),
  { strict: true, decode: ({ error }) => ({ status: 422 as const, error }), encode: ({ error }) => ({ error }) }
).annotations(HttpApiSchema.annotations({ status: 422 }))

/** What everybody may have. */
export class ChannelsGroup extends HttpApiGroup.make("channels")
  .add(HttpApiEndpoint.get("about", "/channels").addSuccess(ChannelService))
  .add(HttpApiEndpoint.get("manifest")`/channels/${manifest}`.addSuccess(Bytes))
  .add(HttpApiEndpoint.get("file")`/channels/files/${channel}/${file}`.addSuccess(Bytes).addError(Busy))
  .addError(NotFound)
  .addError(TooManyRequests)
  .annotate(OpenApi.Description, "Releases: signed manifests and the files that they name. For everybody") {}

/** What owners do. */
export class PublishingGroup extends HttpApiGroup.make("publishing")
  .add(
    HttpApiEndpoint.put("upload")`/api/admin/channels/files/${channel}/${file}`
      .setHeaders(Credentials)
      .setPayload(Bytes)
      .addSuccess(FileTaken)
      .addError(TooLarge)
  )
  .add(
    HttpApiEndpoint.get("uploaded")`/api/admin/channels/files/${channel}/${file}`
      .setHeaders(Credentials)
      .addSuccess(FileThere)
      .addError(NotFound)
  )
  .add(
    HttpApiEndpoint.post("publish", "/api/admin/channels/publish")
      .setHeaders(Credentials)
      .setPayload(PublishRequest)
      .addSuccess(ReleasePublished)
      .addError(NotTrusted)
  )
  .addError(BadRequest)
  .addError(Unauthorized)
  .addError(Forbidden)
  .addError(Conflict)
  .addError(TooManyRequests)
  .addError(StorageFailed)
  .addError(Busy)
  .addError(StorageFull)
  .annotate(OpenApi.Description, "Filling the release channels. For owners") {}
