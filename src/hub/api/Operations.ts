/** The hub itself: how it is, what it logged, starting it anew (spec: hub-api 1.14, 1.15). */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { HubApi } from "../../protocol/HubApi.ts"
import type { Begun, HubDetails, LogsParameters } from "../../protocol/api/Operations.ts"
import { formatInstant } from "../../protocol/Duration.ts"
import { FOLLOWERS, SHUTDOWN_TIMEOUT, STATUS_CHANNEL_WAIT } from "../../protocol/Limits.ts"
import { Level, levels, type LogsAnswer, type UpdateStatus } from "../../protocol/Management.ts"
import { quoted } from "../../protocol/Printable.ts"
import { Audit } from "../../store/Audit.ts"
import type { Updater } from "../../system/release/Updater.ts"
import type { LogRing } from "../../telemetry/LogRing.ts"
import { Directory } from "../Directory.ts"
import type { Restart } from "../../system/Restart.ts"
import { RestartRefused } from "../../system/Restart.ts"
import { Sessions } from "../Sessions.ts"
import type { About } from "../Status.ts"
import { answering, json } from "./Answer.ts"
import { administrator } from "./Asker.ts"
import { bad, conflict, notFound, Problem } from "./Problem.ts"
import * as Updates from "./Updates.ts"

/** What the program around a hub offers its administration. */
export interface Operations {
  readonly about: About
  /** How it is started anew, where it can be. */
  readonly restart?: Restart | undefined
  /** How long it waits, when it stops, for those who cannot go on elsewhere, in milliseconds. */
  readonly shutdownTimeout?: number | undefined
  readonly log?: LogRing | undefined
  readonly updater?: Context.Tag.Service<Updater> | undefined
  /** Bytes that wait for peers. */
  readonly held?: () => number
  /** When the certificate that is served ends, in milliseconds since the epoch; undefined without TLS. */
  readonly certificateEnd?: Effect.Effect<number | undefined>
}

const embedded = new RestartRefused({ message: "this hub is a part of another program; restart that" })

const restart = (request: HttpServerRequest, { restart: begin = embedded }: Operations) =>
  Effect.gen(function* () {
    const { from, identity } = yield* administrator(request)
    const audit = yield* Audit
    const event = { action: "hub-restart", actor: identity.id, from } as const
    yield* begin.pipe(
      Effect.tapError(({ message }) => audit.record([{ ...event, outcome: "failed", why: message }])),
      Effect.mapError(({ message }) => conflict(message))
    )
    yield* audit.record([{ ...event, outcome: "ok" }])
    return json<typeof Begun.Encoded>({ ok: true, message: "restarting" })
  })

/** What is known of updates within a moment: the channel may be out of reach. */
const updateOf = (updater: Context.Tag.Service<Updater>, currentVersion: string): Effect.Effect<UpdateStatus> =>
  Effect.map(
    Effect.timeoutOption(updater.status, STATUS_CHANNEL_WAIT),
    Option.match({
      onNone: () => ({ currentVersion, error: "the channel takes long to answer" }),
      onSome: Updates.shown
    })
  )

const details = (request: HttpServerRequest, operations: Operations) =>
  Effect.gen(function* () {
    yield* administrator(request)
    const directory = yield* Directory
    const sessions = yield* Sessions
    const { about, certificateEnd = Effect.succeed(undefined), held = () => 0, updater } = operations
    const { heapUsed, rss } = process.memoryUsage()
    const end = yield* certificateEnd
    const update = updater === undefined ? undefined : yield* updateOf(updater, about.version)
    return json<HubDetails>({
      version: about.version,
      hubId: about.hubId,
      ...(about.name !== "" && { hubName: about.name }),
      startedAt: new Date(about.startedAt).toISOString(),
      uptime: Math.floor(((yield* Clock.currentTimeMillis) - about.startedAt) / 1_000),
      shutdownTimeout: operations.shutdownTimeout ?? SHUTDOWN_TIMEOUT.default,
      machines: { online: directory.connected(), known: directory.size() },
      sessions: sessions.size(),
      relayedBytes: sessions.relayed(),
      heldBytes: held(),
      memory: { resident: rss, heap: heapUsed },
      ...(end !== undefined && { certificate: { expiresAt: formatInstant(end) } }),
      ...(update !== undefined && { update })
    })
  })

const tooMany = new Problem({
  status: 503,
  error: `${FOLLOWERS} people follow the hub's log already; try again in a moment`,
  headers: { "retry-after": "1" }
})

const numberIn = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text))

/** How many requests wait for the next line. */
interface Waiting {
  count: number
}

const logs = (
  request: HttpServerRequest,
  { log }: Operations,
  waiting: Waiting,
  { after, level, lines, wait }: typeof LogsParameters.Type
) =>
  Effect.gen(function* () {
    yield* administrator(request)
    if (log === undefined) return yield* notFound("this hub is a part of another program; look at the log of that")
    if (level !== undefined && !Schema.is(Level)(level)) {
      return yield* bad(`${quoted(level)} is no level; there are ${levels.join(", ")}`)
    }
    const query = { after, level, lines: numberIn(lines), wait: numberIn(wait) }
    if (waiting.count >= FOLLOWERS) return yield* tooMany
    waiting.count++
    const page = yield* Effect.ensuring(
      log.follow(query),
      Effect.sync(() => waiting.count--)
    )
    // Whoever waited may not have the right any more.
    yield* administrator(request)
    return json<typeof LogsAnswer.Encoded>(page)
  })

export const layer = (operations: Operations) =>
  HttpApiBuilder.group(HubApi, "operations", (handlers) => {
    const waiting: Waiting = { count: 0 }
    const { updater } = operations
    return handlers
      .handleRaw("details", ({ request }) => answering(details(request, operations)))
      .handleRaw("logs", ({ request, urlParams }) => answering(logs(request, operations, waiting, urlParams)))
      .handleRaw("restart", ({ request }) => answering(restart(request, operations)))
      .handleRaw("updateStatus", ({ request }) => answering(Updates.status(request, updater)))
      .handleRaw("setChannel", ({ request }) => answering(Updates.setChannel(request, updater)))
      .handleRaw("update", ({ request }) => answering(Updates.update(request, updater)))
      .handleRaw("sources", ({ request }) => answering(Updates.sources(request, updater)))
      .handleRaw("setSource", ({ path, request }) => answering(Updates.setSource(request, updater, path.name)))
      .handleRaw("removeSource", ({ path, request }) => answering(Updates.removeSource(request, updater, path.name)))
  })
