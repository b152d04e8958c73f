/**
 * What code the hub runs: its channel, where that is, and the update itself (spec: hub-api 1.16, 1.17). Administrators may
 * look; only owners choose.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import {
  ChannelPatch,
  SourceRequest,
  UpdateRequest,
  type Begun,
  type ChannelPatched,
  type HubUpdateStatus
} from "../../protocol/api/Operations.ts"
import type { UpdateStatus as ShownStatus } from "../../protocol/Management.ts"
import { Audit } from "../../store/Audit.ts"
import type { AuditEvent } from "../../store/Audit.ts"
import type { Updater, UpdateRefused, UpdateStatus } from "../../system/release/Updater.ts"
import { json } from "./Answer.ts"
import { administrator } from "./Asker.ts"
import { bodyOf } from "./Body.ts"
import { bad, conflict, forbidden, notFound, Problem } from "./Problem.ts"

type Updates = Context.Tag.Service<Updater> | undefined

const none = conflict("this hub is a part of another program, and is updated with that")

/** The members that deployed tools know, and what became of the last update. */
export const shown = ({
  channel,
  currentVersion,
  error,
  last,
  latestVersion,
  manifestUrl,
  updateAvailable
}: UpdateStatus) =>
  ({
    channel,
    manifestUrl,
    currentVersion,
    latestVersion,
    updateAvailable,
    ...(error !== undefined && { error }),
    ...(last !== undefined && { last })
  }) satisfies typeof ShownStatus.Encoded

const refusal = ({ kind, message }: UpdateRefused): Problem => {
  switch (kind) {
    case "invalid":
      return bad(message)
    case "refused":
    case "busy":
      return conflict(message)
    case "unreachable":
      return new Problem({ status: 502, error: message })
    case "unwritable":
      return new Problem({ status: 500, error: message })
  }
}

/** The updates of this hub, for whoever may look. */
const readable = (request: HttpServerRequest, updater: Updates) =>
  Effect.flatMap(administrator(request), () => (updater === undefined ? none : Effect.succeed(updater)))

/** Does what only an owner may, and records it. */
const owned = <A>(
  request: HttpServerRequest,
  updater: Updates,
  event: Pick<AuditEvent, "action" | "detail">,
  use: (updates: Context.Tag.Service<Updater>) => Effect.Effect<A, UpdateRefused>
) =>
  Effect.gen(function* () {
    const { from, identity } = yield* administrator(request)
    const audit = yield* Audit
    const about = { ...event, actor: identity.id, from }
    if (identity.role !== "owner") {
      const why = `${identity.id} has the role ${identity.role}; what code the hub runs is for an owner to choose`
      audit.note({ ...about, outcome: "denied", why })
      return yield* forbidden(why)
    }
    if (updater === undefined) return yield* none
    const result = yield* use(updater).pipe(
      Effect.tapError(({ message }) => audit.record([{ ...about, outcome: "failed", why: message }])),
      Effect.mapError(refusal)
    )
    yield* audit.record([{ ...about, outcome: "ok" }])
    return result
  })

export const status = (request: HttpServerRequest, updater: Updates) =>
  Effect.gen(function* () {
    const found = yield* (yield* readable(request, updater)).status
    return json<typeof HubUpdateStatus.Encoded>({ ...shown(found), sources: found.sources })
  })

export const setChannel = (request: HttpServerRequest, updater: Updates) =>
  Effect.gen(function* () {
    const { channel, manifestBase: base } = yield* bodyOf(request, ChannelPatch)
    const detail = [channel === undefined ? "" : `channel=${channel}`, base === undefined ? "" : `base=${base}`]
    const event = { action: "hub-channel", detail: detail.join(" ").trim() } as const
    const answer = yield* owned(request, updater, event, (updates) => updates.setChannel({ channel, base }))
    return json<typeof ChannelPatched.Encoded>({ ok: true, ...answer })
  })

export const update = (request: HttpServerRequest, updater: Updates) =>
  Effect.gen(function* () {
    const { version } = yield* Effect.orElseSucceed(bodyOf(request, UpdateRequest), () => ({ version: undefined }))
    const event = { action: "hub-update", detail: `version=${version ?? "latest"}` } as const
    const begun = yield* owned(request, updater, event, (updates) => updates.update({ version }))
    const follows = begun.begun ? { version: begun.version } : {}
    return json<typeof Begun.Encoded>({ ok: true, message: begun.message, ...follows })
  })

export const sources = (request: HttpServerRequest, updater: Updates) =>
  Effect.gen(function* () {
    const found = yield* Effect.mapError((yield* readable(request, updater)).sources, refusal)
    return json({ sources: found })
  })

export const setSource = (request: HttpServerRequest, updater: Updates, name: string) =>
  Effect.gen(function* () {
    const { base } = yield* bodyOf(request, SourceRequest)
    const event = { action: "hub-channel", detail: `source ${name}=${base}` } as const
    const kept = yield* owned(request, updater, event, (updates) => updates.setSource(name, base))
    return json({ ok: true, name, base: kept })
  })

export const removeSource = (request: HttpServerRequest, updater: Updates, name: string) =>
  Effect.gen(function* () {
    const event = { action: "hub-channel", detail: `source ${name} removed` } as const
    const wasThere = yield* owned(request, updater, event, (updates) => updates.removeSource(name))
    return wasThere ? json({ ok: true, name }) : yield* notFound(`no source is kept for the channel ${name}`)
  })
