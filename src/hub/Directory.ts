/**
 * Machines by name: what their agents said of them, and the control socket of the agent that is there now. Entries outlive
 * their agent, so that a machine that is offline is still listed; DIRECTORY_MACHINES bounds them.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Crypto from "node:crypto"
import type { Identity } from "../policy/Identity.ts"
import type { Register } from "../protocol/Control.ts"
import { DIRECTORY_MACHINES, MACHINE_RETURN } from "../protocol/Limits.ts"
import { normalise } from "../protocol/Service.ts"
import type { Service } from "../protocol/Service.ts"
import type { Carrier } from "../transport/Carrier.ts"
import * as KeyIndex from "./internal/keyIndex.ts"

/** An agent that is connected for a machine. */
export interface Agent {
  readonly carrier: Carrier
  /** Whose token it registered with, by the name that one has now. Only the directory changes it. */
  principal: Identity
  /** Whether it can be asked from afar about each machine by itself, or about all that it has; absent: about nothing. */
  readonly management?: "agent" | "machine" | undefined
  /** Every machine of this agent, if it said so. */
  readonly machines?: ReadonlyArray<string> | undefined
}

/** What an agent tells of its machine. Most members that a later register leaves out keep what was said before. */
export interface About {
  readonly agentId: string
  readonly registrationId: string
  /** The agent's long-term public key, if it has one. */
  readonly key: string | undefined
  readonly protocolVersion: number
  readonly displayName: string | undefined
  readonly hostname: string | undefined
  readonly os: string | undefined
  readonly agentVersion: string | undefined
  readonly location: string | undefined
  readonly owner: string | undefined
  readonly tags: ReadonlyArray<string>
  readonly services: ReadonlyArray<Service>
  readonly capabilities: Readonly<Record<string, unknown>> | undefined
  /** Whether the agent that is there now enforces the services of a grant; an older one on the same machine does not. */
  readonly serviceGrants: boolean
}

/** A machine of the directory. Times are milliseconds since the epoch. */
export interface Machine {
  readonly name: string
  readonly about: About
  readonly agent: Agent | undefined
  readonly registeredAt: number
  /** When its agent left; of no meaning while one is connected. */
  readonly lastSeen: number
  /** Until when that agent is expected back; of no meaning while one is connected. */
  readonly expectedUntil: number
}

/** Who registered a machine, as far as it matters later. */
export type Registrant = Pick<Identity, "id" | "tokenHash">

/** What became of a registration. */
export type Registration =
  | {
      readonly _tag: "Registered"
      readonly machine: Machine
      readonly replaced: Agent | undefined
      /** Whether it is the agent that the machine had before, as far as can be told. */
      readonly isSame: boolean
    }
  /** Another agent holds the name and is online. */
  | { readonly _tag: "Held"; readonly by: Machine }
  /** DIRECTORY_MACHINES machines are online. */
  | { readonly _tag: "Full" }

export class Directory extends Context.Tag("tela/hub/Directory")<
  Directory,
  {
    readonly register: (name: string, agent: Agent, said: Register & { readonly agentId: string }) => Registration
    /**
     * The agent left, and is expected back unless said otherwise. Returns whether it was still the machine's agent, and not
     * replaced before.
     */
    readonly leave: (name: string, agent: Agent, isExpected?: boolean) => boolean
    /** Notes what the identity of the agent that is connected is called now. */
    readonly amend: (name: string, principal: Identity) => void
    readonly find: (name: string) => Machine | undefined
    /** Machines whose agent is connected and registered with a token, by its SHA-256. */
    readonly ofToken: (tokenHash: string) => ReadonlyArray<Machine>
    /** The tokens of all agents that are connected. */
    readonly tokens: () => Iterable<string>
    /** Machines of one agent, connected or not, by its install id. */
    readonly ofAgent: (agentId: string) => ReadonlyArray<Machine>
    /** All machines, by name. */
    readonly list: () => ReadonlyArray<Machine>
    /** How many machines are known. */
    readonly size: () => number
    /** Machines whose agent is connected. */
    readonly connected: () => number
    /** Takes in machines that a hub before this one has seen, the one not seen longest first. */
    readonly restore: (machines: ReadonlyArray<Omit<Machine, "agent"> & { readonly principal: Registrant }>) => void
    /** Calls `listener` when an agent has registered or left, for as long as the hub runs. */
    readonly onSeen: (listener: (machine: Machine, principal: Registrant) => void) => void
  }
>() {}

type Entry = { -readonly [Key in keyof Machine]: Machine[Key] } & {
  /** The identity that registered it last, as it was then, connected or not. */
  principal: Registrant
}

/** One identity: by its name, which a rotation leaves, or by its token, which a rename leaves. */
const isSameIdentity = (a: Registrant, b: Registrant): boolean => a.id === b.id || a.tokenHash === b.tokenHash

/**
 * The same agent, as far as can be told: one install id, which anybody may have read, one identity, and the key it had, if
 * it had one.
 */
const isSameAgent = ({ about, principal }: Entry, agent: Agent, said: Register): boolean =>
  about.agentId === said.agentId &&
  isSameIdentity(principal, agent.principal) &&
  (about.key === undefined || about.key === said.identity)

/** What was said before goes on when nothing is said; an empty text of an agent with a key, which is one of ours, ends it. */
const textOf = (said: Register, text: string | undefined, before: string | undefined): string | undefined =>
  text === "" && said.identity !== undefined ? undefined : text || before

const describe = (said: Register & { readonly agentId: string }, before: About | undefined): About => ({
  agentId: said.agentId,
  registrationId: said.machineRegistrationId || before?.registrationId || Crypto.randomUUID(),
  key: said.identity ?? before?.key,
  protocolVersion: said.protocolVersion || before?.protocolVersion || 1,
  displayName: textOf(said, said.displayName, before?.displayName),
  hostname: said.hostname || before?.hostname,
  os: said.os || before?.os,
  agentVersion: said.agentVersion || before?.agentVersion,
  location: textOf(said, said.location, before?.location),
  owner: textOf(said, said.owner, before?.owner),
  tags: said.tags ?? before?.tags ?? [],
  services: normalise(
    (said.services ?? []).map(({ description = "", name = "", port, proto = "" }) => ({
      port,
      proto,
      name,
      description
    })),
    said.ports ?? []
  ),
  capabilities: said.capabilities ?? before?.capabilities,
  serviceGrants: said.capabilities?.["serviceGrants"] === true
})

export const make: Effect.Effect<typeof Directory.Service> = Effect.map(Effect.clock, (clock) => {
  const machines = new Map<string, Entry>()
  /** Names whose agent left, the one that is away longest first. */
  const offline = new Set<string>()
  const byToken = KeyIndex.make<Entry>()
  const listeners: Array<(machine: Machine, principal: Registrant) => void> = []

  const seen = (machine: Entry) => {
    for (const listener of listeners) listener(machine, machine.principal)
  }

  const setAgent = (machine: Entry, agent: Agent | undefined) => {
    if (machine.agent !== undefined) byToken.remove(machine.agent.principal.tokenHash, machine)
    machine.agent = agent
    if (agent !== undefined) byToken.add(agent.principal.tokenHash, machine)
  }

  const makeRoom = (): boolean => {
    if (machines.size < DIRECTORY_MACHINES) return true
    const [longest] = offline
    if (longest === undefined) return false
    offline.delete(longest)
    return machines.delete(longest)
  }

  return {
    register: (name, agent, said) => {
      const now = clock.unsafeCurrentTimeMillis()
      const held = machines.get(name)
      if (held === undefined) {
        if (!makeRoom()) return { _tag: "Full" }
        const about = describe(said, undefined)
        const { principal } = agent
        const times = { registeredAt: now, lastSeen: now, expectedUntil: now }
        const machine: Entry = { name, about, agent: undefined, principal, ...times }
        machines.set(name, machine)
        setAgent(machine, agent)
        seen(machine)
        return { _tag: "Registered", machine, replaced: undefined, isSame: false }
      }
      const same = isSameAgent(held, agent, said)
      if (held.agent !== undefined && !same) return { _tag: "Held", by: held }
      const replaced = held.agent === undefined || held.agent.carrier === agent.carrier ? undefined : held.agent
      offline.delete(name)
      held.about = describe(said, same ? held.about : undefined)
      setAgent(held, agent)
      held.principal = agent.principal
      held.registeredAt = now
      held.lastSeen = now
      seen(held)
      return { _tag: "Registered", machine: held, replaced, isSame: same }
    },
    leave: (name, agent, isExpected = true) => {
      const machine = machines.get(name)
      if (machine?.agent !== agent) return false
      setAgent(machine, undefined)
      machine.lastSeen = clock.unsafeCurrentTimeMillis()
      machine.expectedUntil = machine.lastSeen + (isExpected ? MACHINE_RETURN : 0)
      offline.add(name)
      seen(machine)
      return true
    },
    amend: (name, principal) => {
      const machine = machines.get(name)
      if (machine?.agent === undefined) return
      machine.principal = principal
      machine.agent.principal = principal
    },
    find: (name) => machines.get(name),
    ofToken: byToken.of,
    tokens: byToken.keys,
    ofAgent: (agentId) => [...machines.values()].filter(({ about }) => about.agentId === agentId),
    list: () => [...machines.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    size: () => machines.size,
    connected: () => machines.size - offline.size,
    restore: (former) => {
      for (const machine of former) {
        if (machines.has(machine.name) || !makeRoom()) continue
        machines.set(machine.name, { ...machine, agent: undefined })
        offline.add(machine.name)
      }
    },
    onSeen: (listener) => void listeners.push(listener)
  }
})

export const layer: Layer.Layer<Directory> = Layer.effect(Directory, make)
