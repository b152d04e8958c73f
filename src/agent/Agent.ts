/**
 * An agent: one registration for each of its machines, each supervised on its own. Everything ends with the scope.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { fingerprint, type KeyPair } from "../crypto/KeyPair.ts"
import type { AgentConfig, MachineConfig } from "../store/AgentFile.ts"
import type { AgentState } from "../store/AgentState.ts"
import { JOINING_SESSIONS, RESUME_GRACE } from "../protocol/Limits.ts"
import { Dialer } from "../transport/Dialer.ts"
import * as Tcp from "../transport/Tcp.ts"
import type { KeepBudget } from "../tunnel/KeepBudget.ts"
import type { TunnelHeld } from "../tunnel/Tunnel.ts"
import * as Facilities from "./Facilities.ts"
import * as Links from "./Links.ts"
import * as LiveMachine from "./LiveMachine.ts"
import * as Management from "./Management.ts"
import * as Registration from "./Registration.ts"

export interface AgentOptions {
  readonly config: AgentConfig
  /** The long-term key that clients pin. */
  readonly identity: KeyPair
  readonly state: AgentState
  /** How a service is reached; `Tcp.connect` unless given. */
  readonly reach?: typeof Tcp.connect | undefined
  /** How long a client's connections wait for it when it is lost, in milliseconds; 0: not at all. RESUME_GRACE unless given. */
  readonly resumeGrace?: number | undefined
  /** What may be done to it through the hub; nothing unless given. */
  readonly management?: Management.ManagementOptions | undefined
  /** Memory for what waits so; KEPT_BYTES in all unless given. */
  readonly budget?: KeepBudget | undefined
}

/** A running agent. */
export class Agent extends Context.Tag("tela/agent/Agent")<
  Agent,
  {
    /** What people compare with what a client shows them. */
    readonly fingerprint: string
    /** Waits until the machine is registered; for ever, when the agent has no such machine. */
    readonly registered: (machine: string) => Effect.Effect<void>
    /** What all tunnels of this agent hold at this moment, in bytes. */
    readonly held: () => TunnelHeld
    /**
     * Begins nothing new, and waits at most so many milliseconds until no connection is left. The names of services that
     * are still in use are the result: their connections end with the agent, and cannot be taken along.
     */
    readonly drain: (within: number) => Effect.Effect<ReadonlyArray<string>>
  }
>() {}

/** Starts an agent; it takes connections to the hub from the Dialer. */
export const make = (options: AgentOptions): Effect.Effect<typeof Agent.Service, never, Dialer | Scope.Scope> =>
  Effect.gen(function* () {
    const { budget, config, identity, reach = Tcp.connect, resumeGrace = RESUME_GRACE, state } = options
    const { dial, left } = yield* Dialer
    const shown = fingerprint(identity.publicKey)
    yield* Effect.logInfo(`this agent's key is ${shown}`, { hub: config.hub, machines: config.machines.length })

    // Scopes end in reverse order: links say goodbye first, and while that is under way the machine stays registered, for
    // with its registration the hub ends its sessions.
    const registrations = yield* FiberMap.make<string>()
    yield* Effect.addFinalizer(() => left)
    const links = yield* Links.make({ grace: resumeGrace, budget })
    const joining = yield* Effect.makeSemaphore(JOINING_SESSIONS)
    const latches = new Map<string, Effect.Latch>()
    const machines = config.machines.map(LiveMachine.make)
    const facilities = new Map<string, Facilities.Facilities>()
    const apply = (machine: LiveMachine.LiveMachine, next: MachineConfig) =>
      facilities.get(machine.name)?.update(
        next,
        Effect.sync(() => machine.set(next))
      ) ?? Effect.void
    const management =
      options.management && (yield* Management.make({ ...options.management, machines, identity, state, apply }))
    for (const machine of machines) {
      const own = yield* Facilities.make(machine.now(), reach)
      facilities.set(machine.name, own)
      const registered = yield* Effect.makeLatch()
      latches.set(machine.name, registered)
      yield* FiberMap.run(
        registrations,
        machine.name,
        Registration.run({
          hub: config.hub,
          machine,
          identity,
          state,
          dial,
          reach: own.reach,
          registered,
          links,
          joining,
          management
        })
      )
    }
    return {
      fingerprint: shown,
      registered: (machine) => latches.get(machine)?.await ?? Effect.never,
      held: links.held,
      drain: (within) =>
        Effect.gen(function* () {
          yield* management?.answered ?? Effect.void
          for (const { leave } of facilities.values()) leave()
          return yield* links.drain(within)
        })
    }
  })

/** The agent as a service of somebody's program. */
export const layer = (options: AgentOptions): Layer.Layer<Agent, never, Dialer> => Layer.scoped(Agent, make(options))

/** Runs an agent until it is interrupted. */
export const run = (options: AgentOptions): Effect.Effect<never, never, Dialer> =>
  Effect.scoped(Effect.zipRight(make(options), Effect.never))
