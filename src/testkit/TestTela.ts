/**
 * A hub, an agent and clients in one process, for tests of programs that embed Tela. Real sockets on loopback, ports
 * chosen by the system, fresh keys and tokens, nothing on disk; everything ends with the scope.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Agent from "../agent/Agent.ts"
import * as Connect from "../client/Connect.ts"
import type { ConnectError } from "../client/ConnectError.ts"
import { generate } from "../crypto/KeyPair.ts"
import { Authority } from "../hub/Authority.ts"
import * as Hub from "../hub/Hub.ts"
import type { Applied, Change, ChangeRefused } from "../policy/Change.ts"
import { VERSION } from "../protocol/Version.ts"
import { fromFlags } from "../store/AgentFile.ts"
import { fresh } from "../store/AgentState.ts"
import type { StoreFailure } from "../store/IdentityStore.ts"
import * as KnownMachines from "../store/KnownMachines.ts"
import type { Dial } from "../transport/Carrier.ts"
import { Dialer, layer as dialerLayer } from "../transport/Dialer.ts"
import type { TunnelHeld } from "../tunnel/Tunnel.ts"
import type { FaultNetwork, ProgramName } from "./FaultNetwork.ts"
import * as People from "./People.ts"

export interface TestTelaOptions {
  /** TCP ports on 127.0.0.1 that the agent exposes. */
  readonly ports: ReadonlyArray<number>
  /** The machine's name; "barn" unless given. */
  readonly machine?: string
  /** A network between the programs and their hub; sockets of loopback alone unless given. */
  readonly network?: FaultNetwork
  /** Services of the client's grant, by name or port; all unless given. */
  readonly granted?: ReadonlyArray<string>
}

export interface TestTela {
  readonly hub: typeof Hub.Hub.Service
  readonly agent: typeof Agent.Agent.Service
  /** The hub's address for clients. */
  readonly url: string
  readonly machine: string
  /** The token of "alice", who may connect. */
  readonly token: Redacted.Redacted
  /** The token of "owner", with which the administration interface at `hub.url` can be used. */
  readonly ownerToken: Redacted.Redacted
  /** Who may what on this hub. */
  readonly authority: typeof Authority.Service
  /**
   * Changes an identity or a grant in the owner's name, for tests of what a program makes of it: that of "alice", or that
   * of "agent", with whose token the agent is registered. Policy is in force, and what it denies is over, when it succeeds.
   */
  readonly change: (change: Change) => Effect.Effect<Applied, ChangeRefused | StoreFailure>
  /** Connects as alice; local ports and session end with the scope. */
  readonly connect: (
    options?: Partial<Connect.ConnectOptions>
  ) => Effect.Effect<Connect.Connection, ConnectError, Scope.Scope>
  /** What the agent's tunnels and those of a connection hold at this moment, in bytes. */
  readonly held: (connection: Connect.Connection) => { readonly agent: TunnelHeld; readonly client: TunnelHeld }
}

/** Starts hub and agent; done when the machine is registered. */
export const make = (options: TestTelaOptions): Effect.Effect<TestTela, Hub.HubStartError, Scope.Scope> =>
  Effect.gen(function* () {
    const { granted, machine = "barn", network, ports } = options
    const { owner, snapshot, tokens } = People.make(machine, granted)
    const config = {
      hubId: "00000000-0000-4000-8000-000000000000",
      name: "test",
      host: "127.0.0.1",
      port: 0,
      tls: undefined,
      trustedProxies: []
    }
    const context = yield* Layer.build(
      Layer.merge(Hub.layerMemory({ config, snapshot, version: VERSION }), dialerLayer)
    )
    const { authority, dialer, hub } = yield* Effect.all({ authority: Authority, hub: Hub.Hub, dialer: Dialer }).pipe(
      Effect.provide(context)
    )
    const url = hub.url.replace(/^http/, "ws")
    const agentConfig = yield* Effect.orDie(
      fromFlags({ hub: url, machine, ports: ports.join(","), token: tokens.agent, targetHost: undefined })
    )
    const dialOf = (program: ProgramName): Dial => network?.through(program, dialer.dial) ?? dialer.dial
    const agent = yield* Agent.make({ config: agentConfig, identity: generate(), state: fresh([machine]) }).pipe(
      Effect.provideService(Dialer, { ...dialer, dial: dialOf("agent") })
    )
    yield* agent.registered(machine)

    return {
      hub,
      agent,
      url,
      machine,
      token: tokens.alice,
      ownerToken: tokens.owner,
      authority,
      change: (change) =>
        authority.change({ change, by: { identity: owner, from: "local" }, event: { action: "access-update" } }),
      connect: (overrides) =>
        Connect.make({
          hub: url,
          machine,
          token: tokens.alice,
          identity: generate(),
          known: KnownMachines.memory(),
          dial: dialOf("client"),
          // Any free local port for each service, since the services themselves listen on this machine.
          ports: ports.map((remote) => ({ local: 0, remote })),
          ...overrides
        }),
      held: (connection) => ({
        agent: agent.held(),
        client: connection.connector.held()
      })
    }
  })
