/**
 * What a machine has beside its plain services: its gateway and its upstreams, in the configuration of the moment. This is
 * where a change of the configuration reaches them.
 */
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { MachineConfig } from "../store/AgentFile.ts"
import type * as Tcp from "../transport/Tcp.ts"
import * as Gateway from "./gateway/Gateway.ts"
import * as Upstreams from "./Upstreams.ts"

export interface Facilities {
  /** How a service of the machine is reached: its gateway within this program, every other one as before. */
  readonly reach: typeof Tcp.connect
  /**
   * Goes by another configuration from now on; what that leaves as it was goes on undisturbed. `inForce` makes it the
   * machine's, in the turn in which the gateway changes: its port must never lead to the target host for a moment.
   */
  readonly update: (machine: MachineConfig, inForce?: Effect.Effect<void>) => Effect.Effect<void>
  /** The agent is about to stop: what is idle is closed. */
  readonly leave: () => void
}

/** They stand until the scope ends. `reach` is how plain services are reached. */
export const make = (
  machine: MachineConfig,
  reach: typeof Tcp.connect
): Effect.Effect<Facilities, never, Scope.Scope> =>
  Effect.gen(function* () {
    const parent = yield* Effect.scope
    let gateway: { readonly scope: Scope.CloseableScope; readonly is: Gateway.Gateway; port: number } | undefined
    const upstreams = yield* Upstreams.make(machine.upstreams ?? [])

    const updateGateway = ({ gateway: config, name, target }: MachineConfig) =>
      Effect.gen(function* () {
        if (config === undefined) {
          const gone = gateway
          gateway = undefined
          return gone === undefined ? undefined : yield* Scope.close(gone.scope, Exit.void)
        }
        const options = { machine: name, host: target, config }
        if (gateway === undefined) {
          const scope = yield* Scope.fork(parent, ExecutionStrategy.sequential)
          gateway = { scope, is: yield* Scope.extend(Gateway.make(options), scope), port: config.port }
        } else {
          gateway.is.update(options)
          gateway.port = config.port
        }
      })

    yield* updateGateway(machine)
    const facilities: Facilities = {
      reach: (to) => (gateway !== undefined && to.port === gateway.port ? gateway.is.open : reach(to)),
      update: (next, inForce = Effect.void) => {
        // A gateway that goes takes its time; by then nobody may be led to its port any more.
        const both = next.gateway === undefined ? [inForce, updateGateway(next)] : [updateGateway(next), inForce]
        // Whoever calls this where nothing may be interrupted must still be able to end what is begun here.
        return Effect.interruptible(
          Effect.zipRight(Effect.all(both, { discard: true }), upstreams.update(next.upstreams ?? []))
        )
      },
      leave: () => gateway?.is.leave()
    }
    return facilities
  }).pipe(Effect.annotateLogs({ machine: machine.name }))
