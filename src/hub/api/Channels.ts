/**
 * Release channels: served to everybody, filled by owners, since who fills them chooses what code others run (spec:
 * hub-api 1.18, 1.19).
 */
import * as Fs from "node:fs"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { PublishRequest } from "../../protocol/api/Channels.ts"
import type { ChannelService, FileTaken, FileThere, ReleasePublished } from "../../protocol/api/Channels.ts"
import { HubApi } from "../../protocol/HubApi.ts"
import { CHANNEL_DOWNLOADS, CHANNEL_FILE_BYTES } from "../../protocol/Limits.ts"
import { Audit } from "../../store/Audit.ts"
import type { Hosting } from "../../system/release/Hosting.ts"
import type { HostingError } from "../../system/release/HostingError.ts"
import { Upload } from "../../transport/HttpExchange.ts"
import { answering, json } from "./Answer.ts"
import { owner } from "./Asker.ts"
import { bodyOf } from "./Body.ts"
import { bad, conflict, notFound, Problem } from "./Problem.ts"
import { openToAll } from "./Web.ts"

/** Names hold no character that would have to be encoded; one that was is none of ours. */
type Params = { readonly channel: string; readonly file: string }

const off = conflict("this hub serves no channels; set channels: enabled: true in telahubd.yaml, and restart it")

const ofHosting = ({ kind, message }: HostingError): Problem => {
  switch (kind) {
    case "invalid":
      return bad(message)
    case "conflict":
      return conflict(message)
    case "untrusted":
      return new Problem({ status: 422, error: message })
    case "large":
      return new Problem({ status: 413, error: message, more: { maxSize: String(CHANNEL_FILE_BYTES) } })
    case "full":
      return new Problem({ status: 507, error: message })
    case "busy":
      return new Problem({ status: 503, error: message, headers: { "retry-after": "1" } })
    case "unwritable":
      return new Problem({ status: 500, error: message })
  }
}

const noFile = notFound("no such file")

const about = (hosting: Hosting | undefined, version: string) =>
  hosting === undefined
    ? notFound("this hub serves no channels")
    : Effect.succeed(
        json<typeof ChannelService.Encoded>({ service: "telahubd-channels", version }, { headers: openToAll })
      )

/** A manifest or its signature. They are replaced, so nobody keeps them. */
const manifest = (hosting: Hosting | undefined, name: string) =>
  Effect.gen(function* () {
    const bytes = yield* hosting?.manifest(name) ?? Effect.succeed(undefined)
    if (bytes === undefined) return yield* noFile
    return HttpServerResponse.uint8Array(bytes, {
      contentType: name.endsWith(".sig") ? "application/octet-stream" : "application/json",
      headers: { ...openToAll, "cache-control": "no-cache" }
    })
  })

/** Gives out files, so many at a time. One never changes under its name. */
const files = (hosting: Hosting | undefined) => {
  let underWay = 0
  const busy = new Problem({
    status: 503,
    error: "many are downloading; try again in a moment",
    headers: { "retry-after": "2" }
  })
  const counted = (path: string) =>
    Stream.acquireRelease(
      Effect.sync(() => void underWay++),
      () => Effect.sync(() => void underWay--)
    ).pipe(
      Stream.flatMap(() => Stream.fromAsyncIterable<Uint8Array, unknown>(Fs.createReadStream(path), (cause) => cause))
    )
  return ({ channel, file: name }: Params) =>
    Effect.gen(function* () {
      const file = yield* hosting?.file(channel, name) ?? Effect.succeed(undefined)
      if (file === undefined) return yield* noFile
      if (underWay >= CHANNEL_DOWNLOADS) return yield* busy
      return HttpServerResponse.stream(counted(file.path), {
        contentLength: file.size,
        contentType: "application/octet-stream",
        headers: { ...openToAll, "cache-control": "public, max-age=31536000, immutable" }
      })
    })
}

const what = "choose what code hubs and agents run"

/** What is there of an upload, for whoever would send it again. */
const uploaded = (request: HttpServerRequest, hosting: Hosting | undefined, { channel, file: name }: Params) =>
  Effect.gen(function* () {
    yield* owner(request, what)
    if (hosting === undefined) return yield* off
    const there = yield* Effect.mapError(hosting.received(channel, name), ofHosting)
    return there === undefined ? yield* noFile : json<typeof FileThere.Encoded>({ channel, name, ...there })
  })

/** An owner does something with channels; what it was is recorded, and what became of it. */
const asOwner = <R>(
  request: HttpServerRequest,
  hosting: Hosting | undefined,
  event: { readonly action: "channel-upload" | "channel-publish" },
  use: (
    hosting: Hosting
  ) => Effect.Effect<{ readonly detail: string; readonly answer: HttpServerResponse.HttpServerResponse }, Problem, R>
) =>
  Effect.gen(function* () {
    const { from, identity } = yield* owner(request, what)
    if (hosting === undefined) return yield* off
    const audit = yield* Audit
    const about = { ...event, actor: identity.id, from } as const
    const { answer, detail } = yield* Effect.tapError(use(hosting), ({ error }) =>
      audit.record([{ ...about, outcome: "failed", why: error }])
    )
    yield* audit.record([{ ...about, outcome: "ok", detail }])
    return answer
  })

const upload = (request: HttpServerRequest, hosting: Hosting | undefined, { channel, file: name }: Params) =>
  asOwner(request, hosting, { action: "channel-upload" }, (open) =>
    Effect.gen(function* () {
      const { bytes } = yield* Upload
      const { path, size } = yield* open.receive(channel, name, bytes).pipe(
        Effect.catchTags({
          HostingError: (error) => ofHosting(error),
          TransferBroken: ({ message }) => bad(message)
        })
      )
      const answer = json<typeof FileTaken.Encoded>({ ok: true, channel, name, size, path })
      return { answer, detail: `${channel}/${name}` }
    })
  )

const publish = (request: HttpServerRequest, hosting: Hosting | undefined) =>
  asOwner(request, hosting, { action: "channel-publish" }, (open) =>
    Effect.gen(function* () {
      const { channel, tag } = yield* bodyOf(request, PublishRequest)
      const { manifest, manifestPath } = yield* Effect.mapError(open.publish(channel, tag), ofHosting)
      const { binaries, downloadBase, publishedAt } = manifest
      const answer = json<typeof ReleasePublished.Encoded>({
        ok: true,
        channel,
        tag: manifest.tag,
        publishedAt,
        downloadBase,
        binaries,
        manifestPath
      })
      return { answer, detail: `${channel} ${manifest.tag}` }
    })
  )

/** `hosting` is there when the hub serves channels. */
export const layer = (hosting: Hosting | undefined, version: string) => {
  const give = files(hosting)
  return [
    HttpApiBuilder.group(HubApi, "channels", (handlers) =>
      handlers
        .handleRaw("about", () => answering(about(hosting, version)))
        .handleRaw("manifest", ({ path }) => answering(manifest(hosting, path.manifest)))
        .handleRaw("file", ({ path }) => answering(give(path)))
    ),
    HttpApiBuilder.group(HubApi, "publishing", (handlers) =>
      handlers
        .handleRaw("upload", ({ path, request }) => answering(upload(request, hosting, path)))
        .handleRaw("uploaded", ({ path, request }) => answering(uploaded(request, hosting, path)))
        .handleRaw("publish", ({ request }) => answering(publish(request, hosting)))
    )
  ] as const
}
