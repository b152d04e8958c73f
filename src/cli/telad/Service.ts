/**
 * `telad service`: the agent as a service of the operating system.
 */
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as AgentFile from "../../store/AgentFile.ts"
import * as AgentPlan from "../../system/service/AgentPlan.ts"
import * as Install from "../../system/service/Install.ts"
import * as Placing from "../../system/service/Placing.ts"
import type { Service } from "../../system/service/Services.ts"
import * as Command from "../Command.ts"
import type { Given } from "../Command.ts"
import type { Failure } from "../Failure.ts"
import { logFlags } from "../LogFlags.ts"
import { ca } from "../NetworkFlags.ts"
import * as Control from "../service/Control.ts"
import * as Installing from "../service/Install.ts"
import * as Run from "../service/Run.ts"
import * as Status from "../service/Status.ts"
import * as Uninstall from "../service/Uninstall.ts"
import { note, Shell } from "../Shell.ts"
import * as Stores from "../Stores.ts"
import * as AgentFlags from "./AgentFlags.ts"

const flagForm = [AgentFlags.hub, AgentFlags.machine, AgentFlags.ports]

/** The agent that is meant: of a file, of flags, or what is installed. Variables alone make no agent of one that is. */
const sourceOf = (given: Given, service: Service) =>
  Effect.gen(function* () {
    const { cwd } = yield* Shell
    const file = yield* AgentFlags.configFile(given)
    if (Option.isSome(file)) {
      const path = Path.resolve(cwd, file.value)
      return { config: { _tag: "File", file: path }, folder: Path.dirname(path) } satisfies AgentPlan.AgentSource
    }
    const isFlags = flagForm.some((flag) => given.has(flag))
    if (!isFlags && (yield* Placing.exists(service.place.configFile))) return undefined
    const { config, folder } = yield* AgentFlags.fromFlags(given)
    const text = AgentFile.textOf(config)
    return { config: { _tag: "Flags", text, config }, folder } satisfies AgentPlan.AgentSource
  })

const variable = ({ TELA_TOKEN = "" }: Readonly<Record<string, string | undefined>>) =>
  TELA_TOKEN === "" ? undefined : Redacted.make(TELA_TOKEN)

const install = Installing.command({
  program: "telad",
  flags: [
    AgentFlags.config,
    AgentFlags.hub,
    AgentFlags.machine,
    AgentFlags.ports,
    AgentFlags.token,
    AgentFlags.targetHost
  ],
  examples: ["telad service install -config telad.yaml", "telad service install -user -config telad.yaml"],
  notes: [
    "The configuration is copied, and the agent's key, its ids and its token go",
    "along. Without -config or -hub what is installed stays, and is set up anew."
  ],
  plan: (given, service) =>
    Effect.gen(function* () {
      const { env } = yield* Shell
      const source = yield* sourceOf(given, service)
      const stores = yield* Stores.stores
      const { place, scope } = service
      const seesStores = scope === "user"
      return yield* AgentPlan.make({ source, place, seesStores, stores, variable: variable(env) })
    })
})

/** A token that somebody has stored since is to be the service's when it starts. */
const prepare = (service: Service): Effect.Effect<void, Failure, Shell> =>
  Effect.gen(function* () {
    if (service.scope === "user") return
    const step = yield* AgentPlan.refresh(service.place, yield* Stores.stores)
    if (step?.make === undefined) return
    yield* Install.carryOut(service.place, [step])
    yield* note(`Note: the ${step.what} is the one ${step.how}`)
  })

/** The command; `serve` is the agent itself. */
export const command = (
  serve: (flags: ReadonlyMap<string, string>) => Effect.Effect<void, Failure, Shell>
): Command.Command =>
  Command.group({
    name: "service",
    summary: "have the system run the agent",
    subcommands: [
      install,
      Uninstall.command("telad"),
      ...Control.commands("telad", prepare),
      Status.command("telad"),
      Run.command("telad", [ca, ...logFlags], serve)
    ]
  })
