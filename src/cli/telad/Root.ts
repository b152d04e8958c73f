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
import * as Dialer from "../../transport/Dialer.ts"
import * as Command from "../Command.ts"
import { logFlags } from "../LogFlags.ts"
import { ca } from "../NetworkFlags.ts"
import * as Signals from "../Signals.ts"
import * as VersionCommand from "../VersionCommand.ts"
import * as AgentFlags from "./AgentFlags.ts"
import * as Fingerprint from "./Fingerprint.ts"
import * as Login from "./Login.ts"
import * as Pair from "./Pair.ts"

/** Lets connections finish for a while; those that do not are said, because nothing can take them along. */
const leave = (agent: typeof Agent.Agent.Service): Effect.Effect<void> =>
  Effect.flatMap(agent.drain(AGENT_DRAIN), (left) =>
    left.length === 0
      ? Effect.void
      : Effect.logWarning("these connections end with the agent", { services: left.join(",") })
  )

export const root = Command.make(
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
    subcommands: [Login.login, Login.logout, Pair.command, Fingerprint.command, VersionCommand.command("telad")],
    examples: ['telad -hub wss://hub.example.com -machine web-01 -ports "22:SSH" -token TOKEN']
  },
  (given) =>
    Effect.gen(function* () {
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
      yield* Signals.daemon(Effect.never, leave(agent))
    }).pipe(Effect.scoped, Effect.provide(Dialer.layer))
)
