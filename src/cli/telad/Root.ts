/**
 * `telad`, the agent: it registers machines at a hub and serves their ports, until it is stopped.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as AgentState from "../../store/AgentState.ts"
import * as KeyFile from "../../store/KeyFile.ts"
import * as Paths from "../../store/Paths.ts"
import * as Channel from "../Channel.ts"
import * as Command from "../Command.ts"
import { logFlags } from "../LogFlags.ts"
import { ca } from "../NetworkFlags.ts"
import * as Supervisor from "../Supervisor.ts"
import * as Trials from "../Trials.ts"
import * as Update from "../Update.ts"
import * as VersionCommand from "../VersionCommand.ts"
import * as AgentFlags from "./AgentFlags.ts"
import * as Fingerprint from "./Fingerprint.ts"
import * as Login from "./Login.ts"
import * as Pair from "./Pair.ts"
import * as Running from "./Running.ts"
import * as Service from "./Service.ts"
import { updates } from "./Updates.ts"

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
      Supervisor.supervised,
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
      const { config, file, folder, warnings } = yield* AgentFlags.read(given)
      for (const warning of warnings) yield* Effect.logWarning(warning)
      const identity = yield* KeyFile.loadOrCreate(Paths.agentKeyFile(folder))
      const names = config.machines.map((machine) => machine.name)
      const state = yield* AgentState.load(Paths.agentStateFile(folder), names)
      const grace = yield* given.flag(AgentFlags.resumeGrace)
      yield* Running.run({
        agent: { config, identity, state, resumeGrace: Option.getOrUndefined(grace) ?? config.resumeGrace },
        file,
        supervised: yield* Supervisor.isThere(given, "TELAD_SUPERVISED"),
        trial
      })
    })
)
