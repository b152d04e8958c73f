/**
 * An agent as it runs: until it is told to stop, or to start anew, and either only after its connections had some time to
 * finish. Nothing can take them along.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Agent from "../../agent/Agent.ts"
import { AGENT_DRAIN, AGENT_RESTART_DRAIN } from "../../protocol/Limits.ts"
import * as AgentFile from "../../store/AgentFile.ts"
import * as AgentSettings from "../../store/AgentSettings.ts"
import * as UpdateStore from "../../store/UpdateStore.ts"
import type { Trial } from "../../system/release/Trial.ts"
import type { Restart } from "../../system/Restart.ts"
import { RestartRefused } from "../../system/Restart.ts"
import * as Notify from "../../system/service/Notify.ts"
import * as Dialer from "../../transport/Dialer.ts"
import { ExitCode, Exits } from "../Failure.ts"
import * as Keeper from "../Keeper.ts"
import { Shell } from "../Shell.ts"
import * as Signals from "../Signals.ts"
import * as Trials from "../Trials.ts"
import * as Updating from "../Updating.ts"

export interface RunOptions {
  readonly agent: Omit<Agent.AgentOptions, "management">
  /** Its configuration file; undefined for an agent that was started from flags. */
  readonly file: string | undefined
  /** Whether somebody starts the program again when it exits with code 75. */
  readonly supervised: boolean
  /** Of the version that runs. */
  readonly trial: Trial
}

const succession: Keeper.Succession = { variable: "TELAD_SUCCESSOR", name: "agent" }

/** Why an agent that runs is to end. */
type Wanted = "stop" | "restart"

/** Lets connections finish for a while; those that do not are said, because nothing can take them along. */
const leave = (agent: typeof Agent.Agent.Service, within: number): Effect.Effect<void> =>
  Effect.flatMap(agent.drain(within), (left) =>
    left.length === 0
      ? Effect.void
      : Effect.logWarning("these connections end with the agent", { services: left.join(",") })
  )

/** Tells the service manager how the agent is; until the scope ends. */
const notified = (agent: typeof Agent.Agent.Service, names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { env } = yield* Shell
    const isRegistered = (name: string) => Effect.timeoutOption(agent.registered(name), 1)
    const status = Effect.map(
      Effect.forEach(names, isRegistered),
      (all) => `${all.filter(Option.isSome).length} of ${names.length} machines registered`
    )
    const notify = yield* Notify.make({ env, status })
    yield* notify.ready
    yield* Effect.forEach(names, agent.registered, { concurrency: "unbounded", discard: true }).pipe(
      Effect.zipRight(notify.report),
      Effect.forkScoped
    )
    return notify
  })

/** Runs the agent; succeeds, or fails with an exit code, when it and those that came after it have ended. */
export const run = ({ agent: options, file, supervised, trial }: RunOptions): Effect.Effect<void, Exits, Shell> =>
  Effect.gen(function* () {
    const { env, ring } = yield* Shell
    const wanted = Deferred.unsafeMake<Wanted>(FiberId.none)
    const want = (what: Wanted) => Deferred.unsafeDone(wanted, Effect.succeed(what))
    const above = Keeper.above(succession, env, () => want("stop"))

    // An agent that could not start again would be gone, and nobody could reach it.
    const startable = Effect.mapError(
      file === undefined ? Effect.succeed(undefined) : Effect.asVoid(AgentFile.load(file, env)),
      ({ message }) => new RestartRefused({ message: `${message}; mend it first` })
    )
    const restart: Restart = Effect.zipRight(
      startable,
      Effect.sync(() => want("restart"))
    )
    const settings = file === undefined ? undefined : AgentSettings.make(file, env)

    const what = yield* Effect.gen(function* () {
      const store = file === undefined ? undefined : UpdateStore.make(file)
      const updater = yield* Updating.make({ program: "telad", store, restart })
      const agent = yield* Agent.make({ ...options, management: { settings, log: ring, restart, updater } })
      const names = options.config.machines.map(({ name }) => name)
      const notify = yield* notified(agent, names)
      // That one of its machines is within reach is what an agent is there for.
      yield* trial.watch(Effect.raceAll(names.map(agent.registered))).pipe(
        Effect.catchAll(({ message }) =>
          Effect.zipRight(
            Effect.logError(message),
            Effect.sync(() => want("restart"))
          )
        ),
        Effect.forkScoped
      )
      const stop = (within: number) => Effect.zipRight(notify.stopping(within), leave(agent, within))
      const asked = yield* Signals.daemon(Deferred.await(wanted), stop(AGENT_DRAIN))
      if (asked === "restart") yield* Effect.logInfo("restarting")
      yield* Effect.uninterruptible(asked === "restart" ? stop(AGENT_RESTART_DRAIN) : stop(AGENT_DRAIN))
      return asked
    }).pipe(Effect.scoped, Effect.provide(Dialer.layer))

    if (what === "stop") return yield* Effect.logInfo("stopped")
    if (supervised) return yield* new Exits({ code: ExitCode.restart, message: "to be started again" })
    if (above !== undefined) return yield* above.startNext
    const keeper = Keeper.make(succession, { legacy: "agent", again: Trials.isOn("telad") })
    yield* keeper.startNext
    yield* keeper.keep
  })
