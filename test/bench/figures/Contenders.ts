/**
 * What is compared: ours and the three yardsticks, each between the same user and the same service on loopback, every
 * program in a process of its own. They stay up while the benchmark runs; only one of them works at a time.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as HubConfig from "../../e2e/harness/HubConfig.ts"
import * as Program from "../../e2e/harness/Program.ts"
import * as Sshd from "../../e2e/harness/Sshd.ts"
import * as Tela from "../../e2e/harness/Tela.ts"
import * as Tools from "../../e2e/harness/Tools.ts"
import { freePort } from "../../e2e/harness/Workspace.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"

/** Where a contender's near end listens. */
const Ports = Schema.Struct({ bulk: Schema.Number, echo: Schema.Number })
export type Ports = typeof Ports.Type

type Starting<A> = Effect.Effect<A, Program.ProgramFailed, Scope.Scope>

const decodePorts = Schema.decodeSync(Schema.parseJson(Ports))
const decodePort = Schema.decodeSync(Schema.parseJson(Schema.Struct({ port: Schema.Number })))

const FIRST_LINE = /^\{.*\}$/m

/** How a program of the benchmark, compiled beside this one, is started. */
export const script = (name: string, args: ReadonlyArray<string> = []): Program.Command => ({
  name: [name, ...args].join(" "),
  command: process.execPath,
  args: [fileURLToPath(new URL(`./${name}.mjs`, import.meta.url)), ...args]
})

const listening = (name: "bulk" | "echo"): Starting<number> =>
  Effect.gen(function* () {
    const program = yield* Program.start(script("target", [name]))
    const [line] = yield* program.expect(FIRST_LINE)
    return decodePort(line).port
  })

/** The two services, a process each: what one of them does to its own event loop is not to be measured at the other. */
export const target: Starting<Ports> = Effect.all({ bulk: listening("bulk"), echo: listening("echo") })

/** Yardstick (a): two WebSocket hops without encryption or mux. */
export const plain = (service: Ports): Starting<Ports> =>
  Effect.gen(function* () {
    const hub = yield* Program.start(script("plainRelay", ["hub"]))
    const [hubLine] = yield* hub.expect(FIRST_LINE)
    const hubPort = String(decodePort(hubLine).port)
    yield* Program.start(script("plainRelay", ["agent", hubPort, String(service.bulk), String(service.echo)]))
    yield* hub.expect(/agent is here/)
    const client = yield* Program.start(script("plainRelay", ["client", hubPort]))
    const [line] = yield* client.expect(FIRST_LINE)
    return decodePorts(line)
  })

export interface Ours extends Ports {
  readonly hub: Tela.Hub
  /** The owner's. */
  readonly token: string
  /** How `tela connect` is started once more, with a state folder that exists, so that it binds these local ports. */
  readonly connectAgain: (ports: Ports) => Program.Command
}

/** How ours are started, where not as everybody's. */
export interface How {
  /** Another checkout, which has been built. */
  readonly checkout?: string
  /** A port of the agent's machine that leads to the echo service; the agent logs each connection through it, and more. */
  readonly chattyUpstream?: number
  /** What the hub's environment has besides. */
  readonly hubEnv?: Program.Command["env"]
}

/** The name of the machine. */
export const MACHINE = "bench"

/** Ours: telahubd, telad and tela as a user starts them. */
export const ours = (service: Ports, { chattyUpstream, checkout, hubEnv }: How = {}): Starting<Ours> =>
  Effect.gen(function* () {
    const token = HubConfig.token()
    const hub = yield* Tela.hub({ identities: { owner: { token, role: "owner" } }, machines: {} }, checkout, hubEnv)
    const upstreams = chattyUpstream && [{ port: chattyUpstream, target: `127.0.0.1:${service.echo}` }]
    const machines = [{ name: MACHINE, ports: [service.bulk, service.echo], ...(upstreams && { upstreams }) }]
    const folder = yield* Tela.agentFolder(hub.url, token, machines)
    yield* Tela.startAgent(folder, machines, upstreams ? ["-v"] : [], checkout)
    const home = yield* temporaryFolder
    const command = (ports: Ports) =>
      Tela.connectCommand(hub.url, home, {
        machine: MACHINE,
        token,
        checkout,
        args: ["-ports", `${ports.bulk}:${service.bulk},${ports.echo}:${service.echo}`]
      })
    const ports = { bulk: yield* freePort(), echo: yield* freePort() }
    const client = yield* Program.start(command(ports))
    yield* client.expect(/Services available:\n.*\n.*\n/, { on: "stdout" })
    return { ...ports, hub, token, connectAgain: command }
  })

const forwardings = (ports: Ports, service: Ports) => [
  "-L",
  `127.0.0.1:${ports.bulk}:127.0.0.1:${service.bulk}`,
  "-L",
  `127.0.0.1:${ports.echo}:127.0.0.1:${service.echo}`
]

/** ssh without a command, and a word from it once its forwardings stand. */
const forwarding = (config: string, args: ReadonlyArray<string>): Starting<void> =>
  Effect.gen(function* () {
    const client = yield* Program.start({
      name: "ssh -L",
      command: Tools.path("ssh"),
      args: [
        "-F",
        config,
        "-N",
        "-oExitOnForwardFailure=yes",
        "-oPermitLocalCommand=yes",
        "-oLocalCommand=echo forwarding",
        ...args
      ]
    })
    yield* client.expect(/forwarding/)
  })

/** Yardstick (b): `ssh -J hub -L`, two hops as ours, encrypted end to end as ours. */
export const sshJump = (service: Ports): Starting<Ports> =>
  Effect.gen(function* () {
    const jump = yield* Sshd.start()
    const machine = yield* Sshd.start()
    const config = Path.join(yield* temporaryFolder, "ssh_config")
    const section = (name: string, sshd: Sshd.Sshd) =>
      `${sshd.clientSection(name)}  HostName ${sshd.host}\n  Port ${sshd.port}\n`
    Fs.writeFileSync(config, section("hub", jump) + section("machine", machine))
    const ports = { bulk: yield* freePort(), echo: yield* freePort() }
    yield* forwarding(config, ["-J", "hub", ...forwardings(ports, service), "machine"])
    return ports
  })

/** Yardstick (c): `ssh -L` straight to the machine, one hop. */
export const sshDirect = (service: Ports): Starting<Ports> =>
  Effect.gen(function* () {
    const machine = yield* Sshd.start()
    const ports = { bulk: yield* freePort(), echo: yield* freePort() }
    yield* forwarding(machine.clientConfig, ["-p", String(machine.port), ...forwardings(ports, service), machine.host])
    return ports
  })
