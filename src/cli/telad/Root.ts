/**
 * `telad`, the agent: it registers machines at a hub and serves their ports, until it is stopped.
 */
import * as Effect from "effect/Effect"
import * as Agent from "../../agent/Agent.ts"
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
      yield* Signals.daemon(Agent.run({ config, identity, state }))
    }).pipe(Effect.provide(Dialer.layer))
)
