/**
 * A hub as it runs: until it is told to stop, or to start anew, and either only after it has been drained.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Hub from "../../hub/Hub.ts"
import { SHUTDOWN_TIMEOUT, SUCCESSOR_BIND } from "../../protocol/Limits.ts"
import { RestartRefused } from "../../system/Restart.ts"
import type { Restart } from "../../system/Restart.ts"
import { VERSION } from "../../protocol/Version.ts"
import * as HubFile from "../../store/HubFile.ts"
import * as HubUpdateStore from "../../store/HubUpdateStore.ts"
import type { Trial } from "../../system/release/Trial.ts"
import * as Notify from "../../system/service/Notify.ts"
import * as YoungHeap from "../../transport/YoungHeap.ts"
import { ExitCode, Exits, type Failure } from "../Failure.ts"
import * as Keeper from "../Keeper.ts"
import { Shell } from "../Shell.ts"
import * as Signals from "../Signals.ts"
import * as Supervisor from "../Supervisor.ts"
import * as Trials from "../Trials.ts"
import * as Updating from "../Updating.ts"

export interface RunOptions<E> {
  readonly storage: Layer.Layer<Hub.Storage, E>
  /** Whether somebody starts the program again when it exits with code 75. */
  readonly supervised: boolean
  /** Of the version that runs. */
  readonly trial: Trial
}

/** What a hub takes over from the one before is its port. */
const succession: Keeper.Succession = { variable: "TELAHUBD_SUCCESSOR", name: "hub" }

/** Why a hub that runs is to end. */
type Wanted = "stop" | "restart"

/** What the service manager shows of a hub. */
const statusOf = (hub: typeof Hub.Hub.Service): Effect.Effect<string> =>
  Effect.map(hub.counts, ({ machines, sessions }) => `${hub.url}: machines ${machines}, sessions ${sessions}`)

/** Runs the hub of a file; succeeds, or fails with an exit code, when it and those that came after it have ended. */
export const run = <E extends Failure>(
  config: HubFile.HubConfig,
  path: string,
  { storage, supervised, trial }: RunOptions<E>
): Effect.Effect<void, E | Hub.HubStartError | Exits, Shell> =>
  Effect.gen(function* () {
    const { env, ring } = yield* Shell
    const wanted = Deferred.unsafeMake<Wanted>(FiberId.none)
    const want = (what: Wanted) => Deferred.unsafeDone(wanted, Effect.succeed(what))
    const within = config.shutdownTimeout ?? SHUTDOWN_TIMEOUT.default
    const above = Keeper.above(succession, env, () => want("stop"))

    // A hub that could not start again would be gone.
    const restart: Restart = HubFile.load(path).pipe(
      Effect.mapError(({ message }) => new RestartRefused({ message: `${message}; mend it first` })),
      Effect.zipRight(Effect.sync(() => want("restart")))
    )
    const updater = yield* Updating.make({ program: "telahubd", store: HubUpdateStore.make(path), restart })
    const hubLayer = Hub.layer({
      config: above !== undefined && config.port === 0 ? { ...config, port: Number(above.legacy) } : config,
      version: VERSION,
      restart,
      log: ring,
      updater,
      fd: Supervisor.listenFd(env),
      patience: above && SUCCESSOR_BIND
    })

    const keeper = yield* Effect.provide(
      Effect.gen(function* () {
        const hub = yield* Hub.Hub
        yield* Effect.logInfo(`listening on ${hub.url}`, { config: path })
        YoungHeap.collectApart()
        const notify = yield* Notify.make({ env, status: statusOf(hub) })
        yield* notify.ready
        // That it listens is what a hub is there for.
        yield* trial.watch(Effect.void).pipe(
          Effect.catchAll(({ message }) =>
            Effect.zipRight(
              Effect.logError(message),
              Effect.sync(() => want("restart"))
            )
          ),
          Effect.forkScoped
        )
        const drain = Effect.zipRight(notify.stopping(within), hub.drain({ within }))
        const what = yield* Signals.daemon(Deferred.await(wanted), drain)
        if (what === "stop") {
          yield* Effect.uninterruptible(drain)
          return yield* Effect.as(Effect.logInfo("stopped"), undefined)
        }
        yield* Effect.logInfo("restarting")
        if (supervised) {
          yield* Effect.uninterruptible(drain)
          return yield* new Exits({ code: ExitCode.restart, message: "to be started again" })
        }
        const again = Trials.isOn("telahubd")
        const next = above === undefined ? Keeper.make(succession, { legacy: String(hub.port), again }) : undefined
        const { startNext } = above ?? next ?? { startNext: Effect.void }
        yield* Effect.uninterruptible(hub.drain({ within, onceClosed: startNext }))
        return next
      }).pipe(Effect.scoped),
      Layer.provide(hubLayer, storage)
    )
    if (keeper !== undefined) yield* keeper.keep
  }).pipe(Effect.scoped)
