/**
 * A {@link World} in which agent and clients reach the hub by wires of their own, which a test can freeze, cut and slow; the
 * hub can be killed and started again on its port.
 */
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Scope from "effect/Scope"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import * as HubConfig from "./HubConfig.ts"
import * as Program from "./Program.ts"
import * as Tela from "./Tela.ts"
import * as Wire from "./Wire.ts"

export interface WiredWorld {
  readonly hub: () => Tela.Hub
  readonly agent: () => Program.Program
  readonly agentWire: Wire.Wire
  readonly clientWire: Wire.Wire
  readonly machine: string
  /** Tokens. */
  readonly owner: string
  readonly alice: string
  /** `tela connect` as alice, by the clients' wire. */
  readonly connect: (args?: ReadonlyArray<string>) => Effect.Effect<Tela.Client, Program.ProgramFailed, Scope.Scope>
  /** kill -9, and a hub on the same port, which listens when this returns. */
  readonly killHub: Effect.Effect<void, Program.ProgramFailed, Scope.Scope>
  /** Ends the hub with a signal, while the next one is already started on its port. */
  readonly replaceHub: (signal: NodeJS.Signals) => Effect.Effect<void, Program.ProgramFailed, Scope.Scope>
  /** kill -9, and the same agent again, registered when this returns. */
  readonly killAgent: Effect.Effect<void, Program.ProgramFailed, Scope.Scope>
  /** A command of the administration, as the owner, by no wire. */
  readonly admin: (...words: ReadonlyArray<string>) => Effect.Effect<string, Program.ProgramFailed>
}

const MACHINE = "web-01"

export interface WiredOptions {
  readonly services: ReadonlyArray<{ readonly port: number; readonly name: string }>
  /** Added to telad's command line. */
  readonly agentArgs?: ReadonlyArray<string>
}

export const make = (options: WiredOptions): Effect.Effect<WiredWorld, Program.ProgramFailed | Error, Scope.Scope> =>
  Effect.gen(function* () {
    const { agentArgs = [], services } = options
    const scope = yield* Effect.scope
    const [owner, agentToken, alice] = [HubConfig.token(), HubConfig.token(), HubConfig.token()]
    // Every hub outlives those who reach it: they end first, and say goodbye.
    const hubs = yield* Scope.fork(scope, ExecutionStrategy.sequential)
    let hub = yield* Tela.hub({
      identities: { owner: { token: owner, role: "owner" }, agent: { token: agentToken }, alice: { token: alice } },
      machines: { [MACHINE]: { register: agentToken, connect: [alice] } }
    }).pipe(Scope.extend(hubs))
    const agentWire = yield* Wire.make(hub.port)
    const clientWire = yield* Wire.make(hub.port)
    const machines = [{ name: MACHINE, services }]
    const folder = yield* Tela.agentFolder(agentWire.url, agentToken, machines)
    const startAgent = Tela.startAgent(folder, machines, agentArgs)
    let agent = yield* startAgent
    const adminHome = yield* temporaryFolder
    const startHub = Effect.suspend(() => Tela.startHub(hub.file, hub.port)).pipe(
      Effect.map((started) => void (hub = started)),
      Scope.extend(hubs)
    )
    return {
      hub: () => hub,
      agent: () => agent,
      agentWire,
      clientWire,
      machine: MACHINE,
      owner,
      alice,
      connect: (args = []) =>
        Tela.connect(clientWire.url, { machine: MACHINE, token: alice, args, services: services.length }),
      killHub: Effect.zipRight(
        Effect.suspend(() => hub.program.end("SIGKILL")),
        startHub
      ),
      replaceHub: (signal) =>
        Effect.suspend(() => {
          const old = hub.program
          return Effect.all([Effect.zipRight(old.signal(signal), old.ended), startHub], {
            concurrency: 2,
            discard: true
          })
        }),
      killAgent: Effect.gen(function* () {
        yield* agent.end("SIGKILL")
        agent = yield* Scope.extend(startAgent, scope)
      }),
      admin: (...words) =>
        Effect.map(
          Program.run({
            name: "tela admin",
            command: Tela.bin("tela"),
            args: ["admin", ...words, "-hub", hub.url, "-token", owner],
            env: { HOME: adminHome, TELA_HOME: adminHome }
          }),
          ({ stdout }) => stdout
        )
    }
  })
