/** An agent and what a client needs, for tests of both over a MemoryHub. */
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Agent from "../../src/agent/Agent.ts"
import type { ManagementOptions } from "../../src/agent/Management.ts"
import type { SessionOptions } from "../../src/client/Session.ts"
import { generate, type KeyPair } from "../../src/crypto/KeyPair.ts"
import type { Service } from "../../src/protocol/Service.ts"
import { ResetCode, StreamReset } from "../../src/protocol/StreamReset.ts"
import type { MachineConfig } from "../../src/store/AgentFile.ts"
import * as AgentState from "../../src/store/AgentState.ts"
import * as KnownMachines from "../../src/store/KnownMachines.ts"
import { Dialer } from "../../src/transport/Dialer.ts"
import type * as Tcp from "../../src/transport/Tcp.ts"
import type { KeepBudget } from "../../src/tunnel/KeepBudget.ts"
import type { MemoryHub } from "./MemoryHub.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

export const hubUrl = "wss://hub.example.com"

export const service = (port: number, name = ""): Service => ({ port, proto: "tcp", name, description: "" })

export const machine = (over: Partial<MachineConfig> = {}): MachineConfig => ({
  name: "barn",
  displayName: undefined,
  hostname: "barn.local",
  os: "linux",
  tags: [],
  location: undefined,
  owner: undefined,
  target: "127.0.0.1",
  token: Redacted.make("agent-token"),
  services: [service(22), service(5432, "db")],
  clients: undefined,
  ...over
})

const refuseAll: typeof Tcp.connect = ({ host, port }) =>
  new StreamReset({ code: ResetCode.refused, reason: `${host}:${port} refused the connection` })

/** A running agent; its key is fresh unless given. */
export const agent = (
  hub: MemoryHub,
  options: {
    readonly machines?: ReadonlyArray<MachineConfig>
    readonly identity?: KeyPair
    readonly reach?: typeof Tcp.connect
    readonly budget?: KeepBudget
    readonly resumeGrace?: number
    /** Waits until its sockets are gone; they are at once unless given. */
    readonly left?: Effect.Effect<void>
    readonly management?: ManagementOptions
  } = {}
) => {
  const { budget, identity = generate(), machines = [machine()], management, reach = refuseAll, resumeGrace } = options
  return Agent.make({
    config: { hub: hubUrl, machines },
    identity,
    state: AgentState.fresh(machines.map((each) => each.name)),
    reach,
    budget,
    resumeGrace,
    management
  }).pipe(Effect.provideService(Dialer, { dial: hub.dial, left: options.left ?? Effect.void }))
}

/** What a client says and keeps; pins are in a folder of the scope. */
export const client = (hub: MemoryHub, over: Partial<SessionOptions> = {}) =>
  Effect.map(temporaryFolder, (folder): SessionOptions => ({
    hub: hubUrl,
    machine: "barn",
    token: Redacted.make("client-token"),
    identity: generate(),
    known: KnownMachines.make(Path.join(folder, "known_machines.yaml")),
    dial: hub.dial,
    ...over
  }))
