/**
 * telad.yaml, and the same from flags: which hub the agent registers at, which machines it stands for, what they expose
 * and to whom (spec: cli 5.1, 5.2).
 */
import * as Os from "node:os"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Yaml from "yaml"
import { HexKey, MachineName } from "../protocol/Control.ts"
import { RESUME_GRACE_MAX } from "../protocol/Limits.ts"
import * as HubUrl from "../protocol/HubUrl.ts"
import { goos } from "../protocol/Platform.ts"
import { Port, type Service } from "../protocol/Service.ts"
import * as GatewayConfig from "./GatewayConfig.ts"
import { UpdateShape } from "./UpdateSettings.ts"
import * as UpstreamConfig from "./UpstreamConfig.ts"
import * as ManagementConfig from "./ManagementConfig.ts"
import * as YamlFile from "./YamlFile.ts"

/** A client that the agent's owner lists: by public key or its fingerprint, with the services it may use (absent: all). */
export interface AllowedClient {
  readonly key: string
  readonly name: string
  readonly services: ReadonlyArray<string> | undefined
}

/** One machine as it is served: everything derived and defaulted. */
export interface MachineConfig {
  readonly name: string
  readonly displayName: string | undefined
  readonly hostname: string
  readonly os: string
  readonly tags: ReadonlyArray<string>
  readonly location: string | undefined
  readonly owner: string | undefined
  /** The host whose ports are exposed; another one than this makes the agent a gateway (Pattern B). */
  readonly target: string
  readonly token: Redacted.Redacted | undefined
  /** What is exposed, each port once; names and descriptions are empty where nobody gave one. A gateway is one of them. */
  readonly services: ReadonlyArray<Service>
  readonly gateway?: GatewayConfig.GatewayConfig | undefined
  readonly upstreams?: ReadonlyArray<UpstreamConfig.UpstreamConfig> | undefined
  /** The agent's own list; undefined leaves it to the hub who may come. */
  readonly clients: ReadonlyArray<AllowedClient> | undefined
  /** What may be done to it from afar; ManagementConfig.otherwise unless given. */
  readonly management?: ManagementConfig.ManagementConfig | undefined
}

/** What an agent runs with. */
export interface AgentConfig {
  readonly hub: string
  readonly machines: ReadonlyArray<MachineConfig>
  /** How long a client's connections wait for it when it is lost, in milliseconds; undefined leaves it to the agent. */
  readonly resumeGrace?: number | undefined
}

/** Flags that do not make a configuration; the message names the flag and what to write. */
export class AgentFlagError extends Schema.TaggedError<AgentFlagError>()("AgentFlagError", { problem: Schema.String }) {
  override get message(): string {
    return this.problem
  }
}

/** The host that is exposed unless another is named. */
export const DEFAULT_TARGET = "127.0.0.1"

const Fingerprint = Schema.String.pipe(Schema.pattern(/^SHA256:[A-Za-z0-9+/]{43}$/))

const Clients = Schema.Array(
  Schema.Struct({
    key: Schema.Union(HexKey, Fingerprint).annotations({
      description: "a client's public key (64 hex digits) or its fingerprint (SHA256:...)"
    }),
    name: YamlFile.optionalOr(Schema.String, ""),
    services: YamlFile.optional(Schema.Array(Schema.Union(Schema.String, Port)))
  })
)

const Text = YamlFile.optional(Schema.String)

const Machine = Schema.Struct({
  name: MachineName.annotations({ description: "a name of at most 128 characters without spaces and slashes" }),
  displayName: Text,
  hostname: Text,
  os: Text,
  tags: YamlFile.optionalOr(Schema.Array(Schema.String), []),
  location: Text,
  owner: Text,
  target: Text,
  token: Text,
  ports: YamlFile.optionalOr(Schema.Array(Port), []),
  services: YamlFile.optionalOr(
    Schema.Array(
      Schema.Struct({
        port: Port,
        proto: YamlFile.optionalOr(Schema.String, "tcp"),
        name: YamlFile.optionalOr(Schema.String, ""),
        description: YamlFile.optionalOr(Schema.String, "")
      })
    ),
    []
  ),
  clients: YamlFile.optional(Clients),
  gateway: YamlFile.optional(GatewayConfig.schema),
  upstreams: YamlFile.optionalOr(UpstreamConfig.schema, []),
  management: YamlFile.optional(ManagementConfig.schema)
})

/** The keys of a machine's entry that this version serves. */
export const machineKeys: ReadonlyArray<string> = Object.keys(Machine.fields)

const File = Schema.Struct({
  hub: YamlFile.optional(Schema.String),
  token: Text,
  machines: YamlFile.optionalOr(Schema.Array(Machine), []),
  clients: YamlFile.optional(Clients),
  management: YamlFile.optional(ManagementConfig.schema),
  resumeGrace: YamlFile.optional(YamlFile.duration(RESUME_GRACE_MAX)),
  /** Read and changed by UpdateStore.ts. */
  update: YamlFile.optional(UpdateShape)
})

const notServed = ["shares", "fileShare"].map((key) => `machines.*.${key}`)

type Env = Readonly<Record<string, string | undefined>>

const secret = (text: string | undefined) => (text ? Redacted.make(text) : undefined)

const clientsOf = (list: typeof Clients.Type | undefined): ReadonlyArray<AllowedClient> | undefined =>
  list?.map(({ key, name, services }) => ({ key, name, services: services?.map(String) }))

const managementOf = (said: typeof ManagementConfig.schema.Type | undefined): Pick<MachineConfig, "management"> =>
  said === undefined ? {} : { management: ManagementConfig.make(said) }

/** Ports that no service names get one without a name; a service names its port. */
const union = (ports: ReadonlyArray<number>, services: ReadonlyArray<Service>): ReadonlyArray<Service> => {
  const named = new Set(services.map((service) => service.port))
  const others = [...new Set(ports)].filter((port) => !named.has(port))
  return [...services, ...others.map((port) => ({ port, proto: "tcp", name: "", description: "" }))]
}

/** A configuration, and what a person should know of it. */
export interface Loaded {
  readonly config: AgentConfig
  readonly warnings: ReadonlyArray<YamlFile.YamlWarning>
}

const options = { schema: File, notServed, secrets: true } as const

/** Reads telad.yaml. A machine without a token of its own takes the file's, else TELA_TOKEN. */
export const load = (
  file: string,
  env: Env = process.env
): Effect.Effect<Loaded, YamlFile.YamlFileMissing | YamlFile.YamlFileError> =>
  Effect.flatMap(YamlFile.read(file, options), (loaded) => interpret(loaded, env))

/** The same of a text; `file` only names it in errors. */
export const decode = (
  file: string,
  text: string,
  env: Env = process.env
): Effect.Effect<Loaded, YamlFile.YamlFileError> =>
  Effect.flatMap(YamlFile.decode(file, text, options), (loaded) => interpret(loaded, env))

const interpret = (
  loaded: YamlFile.Loaded<typeof File.Type>,
  env: Env
): Effect.Effect<Loaded, YamlFile.YamlFileError> =>
  Effect.gen(function* () {
    const { value, warnings, problemAt } = loaded
    if (value.hub === undefined) return yield* problemAt([], "hub is missing; write hub: wss://hub.example.com")
    const hub = yield* Either.mapLeft(HubUrl.parse(value.hub), (problem) => problemAt(["hub"], problem))
    if (value.machines.length === 0) {
      return yield* problemAt(["machines"], "no machine is listed; write at least one under machines:")
    }
    const names = new Set<string>()
    const listening: Array<UpstreamConfig.UpstreamConfig> = []
    for (const [i, machine] of value.machines.entries()) {
      if (names.has(machine.name)) {
        return yield* problemAt(["machines", i, "name"], `machine "${machine.name}" is listed twice`)
      }
      names.add(machine.name)
      if (machine.ports.length + machine.services.length === 0 && machine.gateway === undefined) {
        const fix = "list ports or services, or give it a gateway"
        return yield* problemAt(["machines", i], `machine "${machine.name}" exposes nothing; ${fix}`)
      }
      const seen = new Set<number>()
      for (const [j, { port }] of machine.services.entries()) {
        if (seen.has(port)) {
          return yield* problemAt(["machines", i, "services", j, "port"], `port ${port} has two services; keep one`)
        }
        seen.add(port)
      }
      const wrong = machine.gateway && GatewayConfig.problemOf(machine.gateway, [...machine.ports, ...seen])
      if (wrong !== undefined) return yield* problemAt(["machines", i, "gateway", ...wrong.path], wrong.problem)
      const upstreams = UpstreamConfig.make(machine.upstreams)
      const bad = UpstreamConfig.problemOf(upstreams, listening)
      if (bad !== undefined) return yield* problemAt(["machines", i, "upstreams", ...bad.path], bad.problem)
      listening.push(...upstreams)
    }
    const machines = value.machines.map((machine): MachineConfig => ({
      name: machine.name,
      displayName: machine.displayName,
      hostname: machine.hostname ?? Os.hostname(),
      os: machine.os ?? goos(process.platform),
      tags: machine.tags,
      location: machine.location,
      owner: machine.owner,
      target: machine.target ?? DEFAULT_TARGET,
      token: secret(machine.token ?? value.token ?? env["TELA_TOKEN"]),
      services: [
        ...union(machine.ports, machine.services),
        ...(machine.gateway === undefined ? [] : [GatewayConfig.service(machine.gateway)])
      ],
      clients: clientsOf(machine.clients ?? value.clients),
      gateway: machine.gateway,
      upstreams: UpstreamConfig.make(machine.upstreams),
      ...managementOf(machine.management ?? value.management)
    }))
    return { config: { hub, machines, resumeGrace: value.resumeGrace }, warnings }
  })

/** One part of `-ports`: `port[:name[:description]]`; a description may hold colons. */
const parseSpec = (spec: string): Either.Either<Service, string> => {
  const [port = "", name = "", ...description] = spec.trim().split(":")
  const number = /^\d{1,5}$/.test(port.trim()) ? Number(port) : 0
  if (number < 1 || number > 65535) {
    return Either.left(`-ports: "${spec.trim()}" does not begin with a port from 1 to 65535; write 22 or 22:SSH`)
  }
  return Either.right({ port: number, proto: "tcp", name: name.trim(), description: description.join(":").trim() })
}

/** What `-ports` exposes: `spec[,spec...]`. The other side of the result is a sentence that names the bad part. */
export const parsePorts = (text: string): Either.Either<ReadonlyArray<Service>, string> =>
  Either.gen(function* () {
    const services = new Map<number, Service>()
    for (const spec of text.split(",")) {
      const service = yield* parseSpec(spec)
      if (services.has(service.port)) return yield* Either.left(`-ports: port ${service.port} is given twice`)
      services.set(service.port, service)
    }
    return [...services.values()]
  })

/** The flag form: one machine. `token` is the flag's or the environment's, whichever the caller found. */
export const fromFlags = (flags: {
  readonly hub: string
  readonly machine: string
  readonly ports: string
  readonly token: Redacted.Redacted | undefined
  readonly targetHost: string | undefined
}): Either.Either<AgentConfig, AgentFlagError> =>
  Either.gen(function* () {
    const hub = yield* Either.mapLeft(HubUrl.parse(flags.hub), (problem) => `-hub: ${problem}`)
    const name = yield* Either.mapLeft(
      Schema.decodeEither(MachineName)(flags.machine),
      () => `-machine: ${JSON.stringify(flags.machine)} is no name: at most 128 characters, no spaces and slashes`
    )
    const services = yield* parsePorts(flags.ports)
    const machine: MachineConfig = {
      name,
      displayName: undefined,
      hostname: Os.hostname(),
      os: goos(process.platform),
      tags: [],
      location: undefined,
      owner: undefined,
      target: flags.targetHost || DEFAULT_TARGET,
      token: flags.token,
      services,
      clients: undefined
    }
    return { hub, machines: [machine] }
  }).pipe(Either.mapLeft((problem) => new AgentFlagError({ problem })))

/** The text of a file that says what flags said. It holds the token. */
export const textOf = ({ hub, machines }: AgentConfig): string =>
  Yaml.stringify(
    {
      hub,
      machines: machines.map(({ name, services, target, token }) => ({
        name,
        ...(target !== DEFAULT_TARGET && { target }),
        ...(token && { token: Redacted.value(token) }),
        services: services.map(({ description, name: service, port }) => ({
          port,
          ...(service !== "" && { name: service }),
          ...(description !== "" && { description })
        }))
      }))
    },
    { lineWidth: 0 }
  )
