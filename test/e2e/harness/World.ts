/**
 * What most tests start from: a hub whose file names an owner, an agent and alice; one agent that has registered some
 * machines; and alice, who may connect to each of them unless a test says otherwise.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as HubConfig from "./HubConfig.ts"
import type * as Program from "./Program.ts"
import * as Tela from "./Tela.ts"

export interface World {
  readonly hub: Tela.Hub
  readonly agent: Program.Program
  /** Starts the agent once more, with the identity it had; for after its end. */
  readonly restartAgent: Effect.Effect<Program.Program, Program.ProgramFailed, Scope.Scope>
  /** Tokens. */
  readonly owner: string
  readonly alice: string
  readonly agentToken: string
  /** `tela connect` as alice. */
  readonly connect: (
    machine: string,
    options?: Omit<Tela.ConnectOptions, "machine" | "token">
  ) => Effect.Effect<Tela.Client, Program.ProgramFailed, Scope.Scope>
}

export interface WorldOptions {
  /** The services that alice's grant is limited to, by machine. */
  readonly limited?: Readonly<Record<string, ReadonlyArray<string>>>
}

export const make = (
  machines: ReadonlyArray<Tela.Machine>,
  { limited = {} }: WorldOptions = {}
): Effect.Effect<World, Program.ProgramFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const owner = HubConfig.token()
    const agentToken = HubConfig.token()
    const alice = HubConfig.token()
    const grant = (machine: string) => {
      const services = limited[machine]
      return services === undefined ? alice : { token: alice, services }
    }
    const hub = yield* Tela.hub({
      identities: { owner: { token: owner, role: "owner" }, agent: { token: agentToken }, alice: { token: alice } },
      machines: Object.fromEntries(machines.map(({ name }) => [name, { register: agentToken, connect: [grant(name)] }]))
    })
    const folder = yield* Tela.agentFolder(hub.url, agentToken, machines)
    const startAgent = Tela.startAgent(folder, machines)
    const agent = yield* startAgent
    return {
      hub,
      agent,
      restartAgent: startAgent,
      owner,
      alice,
      agentToken,
      connect: (machine, options = {}) => Tela.connect(hub.url, { ...options, machine, token: alice })
    }
  })
