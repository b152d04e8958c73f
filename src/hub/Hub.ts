/**
 * A hub as one scoped service: listening when the layer is built, closed politely when its scope ends, and drained before
 * that by who wants nobody to lose a connection. Put together from {@link Authority}, {@link Directory}, {@link Sessions}
 * and {@link Enforcement}, each of which may be another's.
 */
import * as Crypto from "node:crypto"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Snapshot } from "../policy/Identity.ts"
import type { Audit } from "../store/Audit.ts"
import type { HubConfig } from "../store/HubFile.ts"
import { SHUTDOWN_TIMEOUT } from "../protocol/Limits.ts"
import * as HubStorage from "../store/HubStorage.ts"
import type { IdentityStore } from "../store/IdentityStore.ts"
import type { Machines } from "../store/Machines.ts"
import type { PairCodes } from "../store/PairCodes.ts"
import * as Hosting from "../system/release/Hosting.ts"
import type { Updater } from "../system/release/Updater.ts"
import type { LogRing } from "../telemetry/LogRing.ts"
import type { GuardLimits } from "../transport/Guard.ts"
import * as Heartbeat from "../transport/Heartbeat.ts"
import type { ListenError } from "../transport/ListenError.ts"
import * as Listener from "../transport/Listener.ts"
import * as TlsFiles from "../transport/TlsFiles.ts"
import * as Api from "./Api.ts"
import * as Draining from "./api/Draining.ts"
import * as Routes from "./api/Routes.ts"
import * as Arrivals from "./Arrivals.ts"
import * as Authority from "./Authority.ts"
import * as Connection from "./Connection.ts"
import * as Directory from "./Directory.ts"
import * as Drain from "./Drain.ts"
import * as Enforcement from "./Enforcement.ts"
import * as Strangers from "./internal/strangers.ts"
import * as LastSeen from "./LastSeen.ts"
import * as Load from "./Load.ts"
import * as Management from "./Management.ts"
import type { Restart } from "../system/Restart.ts"
import * as Sessions from "./Sessions.ts"

/** The hub could not start: the address is taken or not allowed, or the TLS files are unusable. Says what to do. */
export class HubStartError extends Schema.TaggedError<HubStartError>()("HubStartError", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

/** What a hub is made of. */
export interface HubOptions {
  readonly config: HubConfig
  /** Shown in /api/status as `hub.version`. */
  readonly version: string
  /** Bounds before authentication, for a deployment whose own front end sets tighter or wider ones. */
  readonly guard?: GuardLimits
  /** How the hub is restarted when its administration asks for it; refused there unless given. */
  readonly restart?: Restart
  /** The last lines of the log, for its administration; none are shown unless given. */
  readonly log?: LogRing | undefined
  /** How the hub is updated when its administration asks for it; refused there unless given. */
  readonly updater?: Context.Tag.Service<Updater> | undefined
  /** A socket that listens already, in place of the configured address (sd_listen_fds(3)). */
  readonly fd?: number | undefined
  /** How long a port that is taken is tried again, in milliseconds: by who takes over from a hub that is about to leave it. */
  readonly patience?: number | undefined
}

/** How a hub is drained. */
export interface DrainOptions {
  /** Milliseconds until what is left is cut; SHUTDOWN_TIMEOUT unless given. */
  readonly within?: number | undefined
  /** Done as soon as the port is free and no request is under way: where a successor is started. */
  readonly onceClosed?: Effect.Effect<void>
}

/** What a hub has in hand. */
export interface HubCounts {
  /** Machines whose agent is connected. */
  readonly machines: number
  /** Sessions up or coming up. */
  readonly sessions: number
  /** Sockets that have not authenticated. */
  readonly unauthenticated: number
  /** Bytes that it holds for peers which have not read them, or not finished what they say; `limits.memory` bounds them. */
  readonly held: number
}

/** A running hub. */
export class Hub extends Context.Tag("tela/hub/Hub")<
  Hub,
  {
    /** The port bound, which the system chose when 0 was asked for. */
    readonly port: number
    /** Where a browser or a program on this machine reaches it, for example `http://127.0.0.1:8080`. */
    readonly url: string
    /** What it has in hand at this moment. */
    readonly counts: Effect.Effect<HubCounts>
    /**
     * Prepares for the end: not ready from now on, the port left, nothing new taken, and every peer told when to come back.
     * Succeeds when nobody is left or the time is over, with what became of the sessions; the scope is to end then.
     */
    readonly drain: (options?: DrainOptions) => Effect.Effect<Drain.Drained>
  }
>() {}

/** Names this hub at the start of its session ids: 8 hex characters. */
const nodeOf = (hubId: string): string => Crypto.createHash("sha256").update(hubId).digest("hex").slice(0, 8)

const startError = (error: ListenError | TlsFiles.TlsError): HubStartError => {
  const advice =
    error._tag === "ListenError"
      ? "; choose another address or port with -host and -port, TELAHUBD_HOST and TELAHUBD_PORT, or in telahubd.yaml"
      : ""
  return new HubStartError({ reason: `${error.message}${advice}` })
}

/** The parts that a hub is put together from; {@link layer} brings all of them. */
export type HubParts = Connection.Services | Heartbeat.Heartbeat | Storage

/** Starts a hub on the given parts; it lives as long as the scope. */
export const make = (
  options: HubOptions
): Effect.Effect<Context.Tag.Service<Hub>, HubStartError, HubParts | Scope.Scope> =>
  Effect.gen(function* () {
    const { config, fd, guard, log, patience, restart, updater, version } = options
    const { shutdownTimeout = SHUTDOWN_TIMEOUT.default, tls } = config
    yield* LastSeen.keep
    const drain = yield* Drain.Drain
    const directory = yield* Directory.Directory
    const sessions = yield* Sessions.Sessions
    const services = yield* Effect.context<Connection.Services>()
    const startedAt = yield* Clock.currentTimeMillis
    const about = { hubId: config.hubId, name: config.name, version, startedAt }
    let ready = false
    const isReady = () => ready && !drain.isDraining()
    const hosting = yield* Effect.transposeMapOption(Option.fromNullable(config.channels), (channels) =>
      Effect.mapError(Hosting.make(channels), ({ message }) => new HubStartError({ reason: message }))
    )
    let held = () => 0
    const api = yield* Api.make({
      about,
      isReady,
      restart,
      hosting: Option.getOrUndefined(hosting),
      shutdownTimeout,
      log,
      updater,
      held: () => held(),
      certificateEnd: tls === undefined ? Effect.succeed(undefined) : TlsFiles.endOf(tls)
    })
    const http = Draining.make(api, drain)
    const listener = yield* Listener.make({
      host: config.host,
      port: config.port,
      fd,
      patience,
      tls: config.tls,
      trustedProxies: config.trustedProxies,
      http,
      isHttpOnly: Api.isHttpOnly,
      passesFiles: config.channels && Routes.passesFiles,
      webSocket: (accepted) => Effect.provide(Connection.serve(accepted), services),
      turnedAway: yield* Strangers.make,
      ...(guard && { limits: guard })
    }).pipe(Effect.mapError(startError))
    yield* Load.watch(listener)
    held = listener.held
    ready = true
    yield* Effect.addFinalizer(() => Effect.sync(() => (ready = false)))
    return {
      port: listener.port,
      url: listener.url,
      counts: Effect.sync(() => ({
        machines: directory.connected(),
        sessions: sessions.size(),
        unauthenticated: listener.unauthenticated(),
        held: listener.held()
      })),
      drain: ({ onceClosed = Effect.void, within = shutdownTimeout } = {}) =>
        Effect.gen(function* () {
          drain.begin()
          listener.stop()
          yield* drain.answered
          yield* onceClosed
          return yield* drain.run(within)
        })
    }
  })

/** What a hub keeps, wherever that is. */
export type Storage = IdentityStore | Audit | PairCodes | Machines

/** A hub of this machine, on what is stored; with the authority, for programs that change access themselves. */
export const layer = (options: HubOptions): Layer.Layer<Hub | Authority.Authority, HubStartError, Storage> =>
  Layer.scoped(Hub, make(options)).pipe(
    Layer.provide([Enforcement.layer, Drain.layer]),
    Layer.provide(Arrivals.layer),
    Layer.provide([Directory.layer, Management.layer, Sessions.layer(nodeOf(options.config.hubId)), Heartbeat.layer]),
    Layer.provideMerge(Authority.layer)
  )

/** The same with everything in memory, beginning with the identities and grants of a snapshot. */
export const layerMemory = (
  options: HubOptions & { readonly snapshot: Snapshot }
): Layer.Layer<Hub | Authority.Authority, HubStartError> =>
  layer(options).pipe(Layer.provide(HubStorage.layerMemory(options.snapshot)))
