/**
 * `tela connect` as a library call: a session that is kept up, and local ports that lead through it. The ports are bound
 * after the first session, because only the agent knows what it offers, and stay through every reconnect.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import type { KeepBudget } from "../tunnel/KeepBudget.ts"
import { ConnectError } from "./ConnectError.ts"
import type { BoundService, OnConnectEvent } from "./ConnectEvent.ts"
import * as Connector from "./Connector.ts"
import * as Listeners from "./Listeners.ts"
import * as LocalPorts from "./LocalPorts.ts"
import * as Session from "./Session.ts"

/** What to reach and what to bind; neither ports nor services means everything that the agent offers. */
export interface ConnectOptions extends Omit<Session.SessionOptions, "ports"> {
  readonly ports?: ReadonlyArray<LocalPorts.PortPair> | undefined
  /** Names (or port numbers) of services. */
  readonly services?: ReadonlyArray<string> | undefined
  /** Wait for a machine that is offline or unknown, instead of failing at the first try. */
  readonly wait?: boolean | undefined
  /** How long connections wait for another session when one is lost, in milliseconds; 0: not at all. RESUME_GRACE unless given. */
  readonly resumeGrace?: number | undefined
  /** Memory for what waits so; KEPT_BYTES in all unless given. */
  readonly budget?: KeepBudget | undefined
  readonly onEvent?: OnConnectEvent | undefined
  readonly listen?: Listeners.Listen | undefined
}

/** A client that is up. */
export interface Connection {
  readonly services: ReadonlyArray<BoundService>
  readonly connector: Connector.Connector
  /** Waits for the error that ended it for good. */
  readonly ended: Effect.Effect<never, ConnectError>
}

/** Done when the services are bound. Session, listeners and local connections end with the scope. */
export const make = (options: ConnectOptions): Effect.Effect<Connection, ConnectError, Scope.Scope> =>
  Effect.gen(function* () {
    const { machine, onEvent = () => {}, ports = [], services = [] } = options
    const asked = { ...options, ports: ports.map((pair) => pair.remote) }
    const connector = yield* Connector.make({
      machine,
      open: (begin) => Session.attempt(asked, begin),
      wait: options.wait,
      resumeGrace: options.resumeGrace,
      budget: options.budget,
      onEvent
    })
    const session = yield* connector.session
    const mappings = yield* Either.mapLeft(
      LocalPorts.choose(machine, session.services, { ports, services }),
      (reason) => new ConnectError({ kind: "local", reason })
    )
    const bound = yield* Listeners.bind({ machine, mappings, connector, onEvent, listen: options.listen })
    onEvent({ _tag: "Bound", services: bound })
    return { services: bound, connector, ended: connector.ended }
  })

/** Connects and stays until it fails for good or is interrupted. */
export const run = (options: ConnectOptions): Effect.Effect<never, ConnectError> =>
  make(options).pipe(
    Effect.flatMap((connection) => connection.ended),
    Effect.scoped
  )
