/**
 * The flags of `telad`, and the configuration they make: a file, or one machine from flags.
 */
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as HubUrl from "../../protocol/HubUrl.ts"
import { RESUME_GRACE_MAX } from "../../protocol/Limits.ts"
import * as AgentFile from "../../store/AgentFile.ts"
import * as AgentSettings from "../../store/AgentSettings.ts"
import * as Paths from "../../store/Paths.ts"
import type { Given } from "../Command.ts"
import { Failed, type Failure, WrongUsage } from "../Failure.ts"
import * as Flags from "../Flags.ts"
import { Shell } from "../Shell.ts"
import * as Stores from "../Stores.ts"

export const config = Flags.text({
  name: "config",
  placeholder: "FILE",
  description: "telad.yaml",
  env: "TELAD_CONFIG"
})
export const hub = Flags.text({
  name: "hub",
  placeholder: "URL",
  description: "hub to register at",
  env: "TELA_HUB"
})
export const machine = Flags.text({
  name: "machine",
  placeholder: "NAME",
  description: "name to register",
  env: "TELA_MACHINE"
})
export const ports = Flags.text({
  name: "ports",
  placeholder: "LIST",
  description: 'ports to expose, "22:SSH,5432"',
  env: "TELAD_PORTS"
})
export const token = Flags.token({
  name: "token",
  placeholder: "TOKEN",
  description: "the agent's token",
  env: "TELA_TOKEN"
})
export const targetHost = Flags.text({
  name: "target-host",
  placeholder: "HOST",
  description: "host of the ports",
  env: "TELAD_TARGET_HOST"
})

export const resumeGrace = Flags.duration({
  name: "resume-grace",
  placeholder: "TIME",
  description: "wait for a lost client, default 2m",
  env: "TELAD_RESUME_GRACE",
  most: RESUME_GRACE_MAX
})

/** The hub that `-hub` names, as it is dialled. */
export const readHub = (given: Given): Effect.Effect<string, WrongUsage> =>
  Effect.flatMap(given.required(hub), (text) =>
    Either.mapLeft(HubUrl.parse(text), (problem) => new WrongUsage({ message: `-hub: ${problem}` }))
  )

const flagForm: ReadonlyArray<Flags.Flag<unknown>> = [hub, machine, ports, token, targetHost]

/** The file that is meant, if one is; flags for one machine win over TELAD_CONFIG. */
export const configFile = (given: Given): Effect.Effect<Option.Option<string>, WrongUsage> =>
  Effect.gen(function* () {
    const file = yield* given.flag(config)
    const extra = flagForm.find((flag) => given.has(flag))
    if (extra === undefined || Option.isNone(file)) return file
    if (!given.has(config)) return Option.none()
    return yield* new WrongUsage({
      message: `-config and -${extra.info.name} exclude each other: write it in ${file.value}, or leave out -config`
    })
  })

/** What an agent runs with, and the folder of its key and state. */
export interface Settings {
  readonly config: AgentFile.AgentConfig
  readonly folder: string
  /** Undefined when it was made from flags. */
  readonly file: string | undefined
  readonly warnings: ReadonlyArray<string>
}

const fromFile = (file: string) =>
  Effect.gen(function* () {
    const shell = yield* Shell
    const path = Path.resolve(shell.cwd, file)
    const undone = yield* Effect.catchTag(AgentSettings.recover(path), "SettingsRefused", ({ message }) =>
      Effect.succeed(message)
    )
    const loaded = yield* Effect.catchTag(AgentFile.load(path, shell.env), "YamlFileMissing", (missing) =>
      Effect.fail(new Failed({ message: `${missing.message}; check what -config or TELAD_CONFIG says` }))
    )
    const warnings = undone === undefined ? loaded.warnings : [undone, ...loaded.warnings]
    return { config: loaded.config, warnings, file: path, folder: Path.dirname(path) }
  })

/** The configuration of one machine, from flags alone. */
export const fromFlags = (given: Given) =>
  Effect.gen(function* () {
    const shell = yield* Shell
    const where = yield* given.flag(hub)
    const name = yield* given.flag(machine)
    const list = yield* given.flag(ports)
    if (Option.isNone(where) && Option.isNone(name) && Option.isNone(list)) {
      return yield* new WrongUsage({
        message: "-config is missing: give -config telad.yaml, or else -hub, -machine and -ports"
      })
    }
    const secret = yield* given.flag(token)
    const target = yield* given.flag(targetHost)
    const made = yield* Effect.mapError(
      AgentFile.fromFlags({
        hub: yield* given.required(hub),
        machine: yield* given.required(machine),
        ports: yield* given.required(ports),
        token: Option.getOrUndefined(Option.map(secret, ({ value }) => value)),
        targetHost: Option.getOrUndefined(target)
      }),
      ({ message }) => new WrongUsage({ message })
    )
    return { config: made, file: undefined, folder: Paths.stateFolder(shell.env), warnings: [] }
  })

/** Machines for which neither flags nor file nor variable give a token take the one that is stored for the hub. */
const withStoredToken = (settings: Settings): Effect.Effect<Settings, Failure, Shell> =>
  Effect.gen(function* () {
    const { hub: where, machines } = settings.config
    if (machines.every((each) => each.token !== undefined)) return settings
    const stores = yield* Stores.stores
    const stored = (yield* stores.agentToken(where))?.token
    return {
      ...settings,
      config: { ...settings.config, machines: machines.map((each) => ({ ...each, token: each.token ?? stored })) }
    }
  })

/** The configuration that the command line names. */
export const read = (given: Given): Effect.Effect<Settings, Failure, Shell> =>
  Effect.flatMap(
    configFile(given),
    Option.match({
      onNone: (): Effect.Effect<Settings, Failure, Shell> => fromFlags(given),
      onSome: fromFile
    })
  ).pipe(Effect.flatMap(withStoredToken))
