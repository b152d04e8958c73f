/**
 * A hub, an agent and a client in one process, without a single socket: connections, services and local programs are in
 * memory, and between the programs is a {@link FaultNetwork}. Each of the three can be killed and started again. For tests of
 * what survives which fault, thousands of them.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Agent from "../agent/Agent.ts"
import * as Connect from "../client/Connect.ts"
import type { OnConnectEvent } from "../client/ConnectEvent.ts"
import { generate } from "../crypto/KeyPair.ts"
import * as Arrivals from "../hub/Arrivals.ts"
import * as Authority from "../hub/Authority.ts"
import * as Connection from "../hub/Connection.ts"
import * as Directory from "../hub/Directory.ts"
import * as Drain from "../hub/Drain.ts"
import * as Enforcement from "../hub/Enforcement.ts"
import type { Storage } from "../hub/Hub.ts"
import * as LastSeen from "../hub/LastSeen.ts"
import * as Management from "../hub/Management.ts"
import * as Sessions from "../hub/Sessions.ts"
import type { Applied, Change, ChangeRefused } from "../policy/Change.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import { fromFlags } from "../store/AgentFile.ts"
import { fresh } from "../store/AgentState.ts"
import * as HubStorage from "../store/HubStorage.ts"
import type { StoreFailure } from "../store/IdentityStore.ts"
import * as KnownMachines from "../store/KnownMachines.ts"
import type { ByteStream } from "../transport/ByteStream.ts"
import { type Carrier, type Dial, DialError } from "../transport/Carrier.ts"
import { Dialer } from "../transport/Dialer.ts"
import * as MemoryCarrier from "../transport/MemoryCarrier.ts"
import type { KeepBudget } from "../tunnel/KeepBudget.ts"
import { heldNothing, type TunnelHeld } from "../tunnel/Tunnel.ts"
import type { End, FaultNetwork } from "./FaultNetwork.ts"
import * as FaultNetworkKit from "./FaultNetwork.ts"
import type { Restarted } from "./FaultSchedule.ts"
import * as MemoryStream from "./MemoryStream.ts"
import * as People from "./People.ts"

export interface MemoryTelaOptions {
  /** What serves each port of the machine; called for each connection with the service's end of it. */
  readonly services: Readonly<Record<number, (stream: ByteStream) => void>>
  /** Chance of the network. */
  readonly seed?: number
  /** How long connections wait for a lost agent or client, in milliseconds; RESUME_GRACE unless given. */
  readonly resumeGrace?: number
  /** Memory for what links of agent and client wait with; that of a program for each of them unless given. */
  readonly budget?: KeepBudget
  readonly onEvent?: OnConnectEvent
}

export interface MemoryTela {
  readonly network: FaultNetwork
  /** A local program connects to the client's local port of a service: the program's end. */
  readonly open: (port: number) => ByteStream
  /**
   * Kills a program as kill -9 does, and starts it again so many milliseconds later; done when it is up. One program's
   * restarts come one after the other.
   */
  readonly restart: (program: Restarted, after?: number) => Effect.Effect<void>
  /** Changes an identity or a grant in the owner's name: that of "alice", the client, or of "agent". */
  readonly change: (change: Change) => Effect.Effect<Applied, ChangeRefused | StoreFailure>
  /** What the tunnels of agent and client hold at this moment. */
  readonly held: () => { readonly agent: TunnelHeld; readonly client: TunnelHeld }
  /** Sessions that the hub has. */
  readonly sessions: () => number
}

const MACHINE = "barn"
const HUB = "wss://hub.example.com"

/** How often a client that could not come up tries again. */
const CLIENT_RETRY = 100

/** A program that can be killed and started again; a start that does not succeed is a bug of this kit. */
const program = <A>(start: Effect.Effect<A, never, Scope.Scope>) =>
  Effect.gen(function* () {
    const outer = yield* Effect.scope
    const first = yield* Scope.fork(outer, ExecutionStrategy.sequential)
    let running: { readonly scope: Scope.CloseableScope; readonly is: A } | undefined = {
      scope: first,
      is: yield* Scope.extend(start, first)
    }
    return {
      current: () => running?.is,
      kill: Effect.suspend(() => {
        const killed = running
        running = undefined
        return killed === undefined ? Effect.void : Scope.close(killed.scope, Exit.void)
      }),
      start: Effect.gen(function* () {
        const scope = yield* Scope.fork(outer, ExecutionStrategy.sequential)
        running = { scope, is: yield* Scope.extend(start, scope) }
      })
    }
  })

const parts = Layer.merge(Enforcement.layer, Drain.layer).pipe(
  Layer.provideMerge(Arrivals.layer),
  Layer.provideMerge(Layer.mergeAll(Directory.layer, Management.layer, Sessions.layer("00000000"))),
  Layer.provideMerge(Authority.layer)
)

/** A hub on what is kept, for carriers instead of sockets. */
const hub = (kept: Context.Context<Storage>) =>
  Effect.gen(function* () {
    const services = yield* Effect.map(Layer.build(Layer.provide(parts, Layer.succeedContext(kept))), (built) =>
      Context.merge(kept, built)
    )
    yield* Effect.provide(LastSeen.keep, services)
    const run = yield* FiberSet.makeRuntime<never>()
    const accepted = new Set<Carrier>()
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const carrier of accepted) carrier.terminate()
      })
    )
    return {
      authority: Context.get(services, Authority.Authority),
      sessions: Context.get(services, Sessions.Sessions),
      accept: (carrier: Carrier) => {
        accepted.add(carrier)
        run(
          Connection.serve({ carrier, admit: () => {} }).pipe(
            Effect.provide(services),
            Effect.ensuring(Effect.sync(() => accepted.delete(carrier)))
          )
        )
      }
    }
  })

/** Starts all three; done when the client has bound its local ports. Everything ends with the scope. */
export const make = (options: MemoryTelaOptions): Effect.Effect<MemoryTela, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { budget, onEvent, resumeGrace, seed = 0, services } = options
    const ports = Object.keys(services).map(Number)
    const { owner, snapshot, tokens } = People.make(MACHINE)
    const kept = yield* Layer.build(HubStorage.layerMemory(snapshot))
    const theHub = yield* program(hub(kept))
    const network = yield* FaultNetworkKit.make({ seed })
    const killed = new Set<FaultNetworkKit.ProgramName>()

    const reachHub: Dial = (url) =>
      Effect.suspend(() => {
        const running = theHub.current()
        if (running === undefined) return Effect.fail(new DialError({ url, reason: "nothing listens there" }))
        const [near, far] = MemoryCarrier.pair("hub", "peer")
        running.accept(far)
        return Effect.acquireRelease(Effect.succeed(near), (carrier) => Effect.sync(() => carrier.terminate()))
      })
    const dialOf =
      (name: FaultNetworkKit.ProgramName): Dial =>
      (url) =>
        // Whoever is dead says nothing more.
        Effect.suspend(() => (killed.has(name) ? Effect.never : network.through(name, reachHub)(url)))

    const config = yield* Effect.orDie(
      fromFlags({ hub: HUB, machine: MACHINE, ports: ports.join(","), token: tokens.agent, targetHost: undefined })
    )
    const machine = { config, identity: generate(), state: fresh([MACHINE]) }
    const reach: Agent.AgentOptions["reach"] = ({ port }) =>
      Effect.suspend(() => {
        const serve = services[port]
        if (serve === undefined) return new StreamReset({ code: ResetCode.refused, reason: "nothing listens there" })
        const [near, far] = MemoryStream.pair()
        serve(far)
        return Effect.succeed(near)
      })
    const theAgent = yield* program(
      Effect.provideService(Agent.make({ ...machine, reach, resumeGrace, budget }), Dialer, {
        dial: dialOf("agent"),
        left: Effect.void
      })
    )

    const me = generate()
    const known = KnownMachines.memory()
    const client = Effect.gen(function* () {
      const listening = new Map<number, (stream: ByteStream, peer: string) => void>()
      const connection = yield* Connect.make({
        hub: HUB,
        machine: MACHINE,
        token: tokens.alice,
        identity: me,
        known,
        dial: dialOf("client"),
        wait: true,
        resumeGrace,
        budget,
        listen: ({ onConnection, port }) =>
          Effect.map(
            Effect.acquireRelease(
              Effect.sync(() => listening.set(port, onConnection)),
              () => Effect.sync(() => listening.delete(port))
            ),
            () => ({ port })
          ),
        ports: ports.map((port) => ({ local: port, remote: port })),
        ...(onEvent && { onEvent })
      })
      return { connection, listening }
    }).pipe(Effect.retry(Schedule.spaced(CLIENT_RETRY)), Effect.orDie)
    const theClient = yield* program(client)

    const kill: Readonly<Record<Restarted, Effect.Effect<void>>> = {
      hub: theHub.kill,
      agent: theAgent.kill,
      client: theClient.kill
    }
    const start: Readonly<Record<Restarted, Effect.Effect<void>>> = {
      hub: theHub.start,
      agent: theAgent.start,
      client: theClient.start
    }
    const endsOf: Readonly<Record<Restarted, ReadonlyArray<End>>> = {
      hub: [],
      agent: ["control", "session"],
      client: ["client"]
    }

    const turns: Readonly<Record<Restarted, Effect.Semaphore>> = {
      hub: yield* Effect.makeSemaphore(1),
      agent: yield* Effect.makeSemaphore(1),
      client: yield* Effect.makeSemaphore(1)
    }

    return {
      network,
      open: (port) => {
        const [near, far] = MemoryStream.pair()
        const accept = theClient.current()?.listening.get(port)
        if (accept === undefined)
          far.reset(new StreamReset({ code: ResetCode.refused, reason: "nothing listens there" }))
        else accept(far, "memory")
        return near
      },
      restart: (name, after = 0) =>
        Effect.gen(function* () {
          if (name !== "hub") killed.add(name)
          for (const end of endsOf[name]) network.cut(end)
          yield* kill[name]
          yield* Effect.sleep(after)
          if (name !== "hub") killed.delete(name)
          yield* start[name]
        }).pipe(turns[name].withPermits(1)),
      change: (change) =>
        Effect.suspend(() => {
          const running = theHub.current()
          if (running === undefined) return Effect.dieMessage("the hub is not running")
          return running.authority.change({
            change,
            by: { identity: owner, from: "local" },
            event: { action: "access-update" }
          })
        }),
      held: () => ({
        agent: theAgent.current()?.held() ?? heldNothing,
        client: theClient.current()?.connection.connector.held() ?? heldNothing
      }),
      sessions: () => theHub.current()?.sessions.size() ?? 0
    }
  })
