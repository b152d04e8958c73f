/**
 * `telad`, the agent: it registers machines at a hub and serves their ports, until it is stopped.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Agent from "../../agent/Agent.ts"
import { AGENT_DRAIN } from "../../protocol/Limits.ts"
import * as AgentState from "../../store/AgentState.ts"
import * as KeyFile from "../../store/KeyFile.ts"
import * as Paths from "../../store/Paths.ts"
import * as Notify from "../../system/service/Notify.ts"
import * as Dialer from "../../transport/Dialer.ts"
import * as Channel from "../Channel.ts"
import * as Command from "../Command.ts"
import { ExitCode, Exits } from "../Failure.ts"
import { logFlags } from "../LogFlags.ts"
import { ca } from "../NetworkFlags.ts"
import { Shell } from "../Shell.ts"
import * as Signals from "../Signals.ts"
import * as Trials from "../Trials.ts"
import * as Update from "../Update.ts"
import * as VersionCommand from "../VersionCommand.ts"
import * as AgentFlags from "./AgentFlags.ts"
import * as Fingerprint from "./Fingerprint.ts"
import * as Login from "./Login.ts"
import * as Pair from "./Pair.ts"
import * as Service from "./Service.ts"
import { updates } from "./Updates.ts"

/** Lets connections finish for a while; those that do not are said, because nothing can take them along. */
const leave = (agent: typeof Agent.Agent.Service): Effect.Effect<void> =>
  Effect.flatMap(agent.drain(AGENT_DRAIN), (left) =>
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

export const root: Command.Command = Command.make(
  {
    name: "telad",
    summary: "offer services of this machine, or of its network, through a hub",
    flags: [
      AgentFlags.config,
      AgentFlags.hub,
      AgentFlags.machine,
      AgentFlags.ports,
      AgentFlags.token,
      AgentFlags.targetHost,
      AgentFlags.resumeGrace,
      ca,
      ...logFlags
    ],
    subcommands: [
      Login.login,
      Login.logout,
      Pair.command,
      Fingerprint.command,
      Service.command((flags) => root.run?.(flags, []) ?? Effect.void),
      Update.command(updates),
      Channel.command(updates),
      VersionCommand.command("telad")
    ],
    examples: ['telad -hub wss://hub.example.com -machine web-01 -ports "22:SSH" -token TOKEN']
  },
  (given) =>
    Effect.gen(function* () {
      const trial = yield* Trials.begin("telad")
      const { config, folder, warnings } = yield* AgentFlags.read(given)
      for (const warning of warnings) yield* Effect.logWarning(warning)
      const identity = yield* KeyFile.loadOrCreate(Paths.agentKeyFile(folder))
      const names = config.machines.map((machine) => machine.name)
      const state = yield* AgentState.load(Paths.agentStateFile(folder), names)
      const grace = yield* given.flag(AgentFlags.resumeGrace)
      const agent = yield* Agent.make({
        config,
        identity,
        state,
        resumeGrace: Option.getOrUndefined(grace) ?? config.resumeGrace
      })
      const notify = yield* notified(agent, names)
      const healthy = Effect.raceAll(names.map(agent.registered))
      const watching = trial
        .watch(healthy)
        .pipe(
          Effect.catchAll(({ message }) =>
            Effect.zipRight(Effect.logError(message), new Exits({ code: ExitCode.restart, message }))
          )
        )
      yield* Signals.daemon(
        Effect.zipRight(watching, Effect.never),
        Effect.zipRight(notify.stopping(AGENT_DRAIN), leave(agent))
      )
    }).pipe(Effect.scoped, Effect.provide(Dialer.layer))
)
