/**
 * The running part of `tela connect`: the client, and what it says. Loaded when the command line has been understood.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Connect from "../../client/Connect.ts"
import type { ConnectEvent } from "../../client/ConnectEvent.ts"
import type { PortPair } from "../../client/LocalPorts.ts"
import * as KeyFile from "../../store/KeyFile.ts"
import * as KnownMachines from "../../store/KnownMachines.ts"
import * as Paths from "../../store/Paths.ts"
import * as Dialer from "../../transport/Dialer.ts"
import type { Failure } from "../Failure.ts"
import { Shell } from "../Shell.ts"
import { type Credential, explain } from "./HubFlags.ts"
import * as ServicesTable from "./ServicesTable.ts"

/** What the command line asked for. */
export interface ConnectRequest {
  readonly hub: string
  readonly machine: string
  readonly credential: Credential
  readonly ports: ReadonlyArray<PortPair>
  readonly services: ReadonlyArray<string>
  readonly fingerprint: string | undefined
  readonly wait: boolean
  /** Milliseconds. */
  readonly resumeGrace: number | undefined
}

const connections = (count: number) => (count === 1 ? "1 connection goes" : `${count} connections go`)
const waits = (count: number) => (count === 1 ? "1 connection waits" : `${count} connections wait`)

/** What is said of an event on stderr; the table goes to stdout. */
const report = (event: ConnectEvent): Effect.Effect<void, never, Shell> => {
  switch (event._tag) {
    case "Connected": {
      const { fingerprint: key, machine: name, principal } = event
      const as = principal === undefined ? {} : { as: principal }
      const said = event.resumed
        ? `connected again: ${connections(event.carried)} on`
        : event.again
          ? "connected again"
          : "connected"
      const first = Effect.logInfo(
        "first use of this machine: its key is remembered from now on; compare it with `telad fingerprint` there"
      )
      return Effect.logInfo(said).pipe(
        Effect.zipRight(event.firstUse ? first : Effect.void),
        Effect.annotateLogs({ machine: name, key, ...as })
      )
    }
    case "Bound":
      return Effect.flatMap(Shell, (shell) =>
        Effect.zipRight(shell.up, shell.print(ServicesTable.render(event.services)))
      )
    case "Reconnecting": {
      const what = event.lost ? "connection lost" : "not connected"
      const waiting = event.waiting > 0 ? `; ${waits(event.waiting)}` : ""
      return Effect.logWarning(`${what}${waiting}; next try in ${(event.retryIn / 1000).toFixed(1)} s`).pipe(
        Effect.annotateLogs({ machine: event.machine, reason: event.reason })
      )
    }
    case "Moving":
      return Effect.logInfo(
        event.retryIn === 0
          ? "new keys are due; going on in another session"
          : `the hub is about to stop; going on at its next start, in ${event.retryIn / 1000} s`
      ).pipe(Effect.annotateLogs({ machine: event.machine }))
    case "StreamRefused":
      return Effect.logWarning("local connection refused").pipe(
        Effect.annotateLogs({ service: event.service, local: event.local, reason: event.reason })
      )
    case "StreamEnded":
      return Effect.logDebug("local connection over").pipe(
        Effect.annotateLogs({
          service: event.service,
          local: event.local,
          sent: event.sent,
          received: event.received,
          ...(event.reason === undefined ? {} : { reason: event.reason })
        })
      )
  }
}

/** Connects and stays until it fails for good or is interrupted. */
export const run = (request: ConnectRequest): Effect.Effect<never, Failure, Shell> =>
  Effect.gen(function* () {
    const shell = yield* Shell
    const folder = Paths.stateFolder(shell.env)
    const identity = yield* KeyFile.loadOrCreate(Paths.clientKeyFile(folder))
    const dialer = yield* Dialer.Dialer
    const say = yield* FiberSet.makeRuntime<Shell>()
    const bound = yield* Deferred.make<void>()
    const { credential, machine, ...asked } = request
    return yield* Connect.run({
      ...asked,
      machine,
      token: credential.token,
      identity,
      known: KnownMachines.make(Paths.knownMachinesFile(folder)),
      dial: dialer.dial,
      onEvent: (event) => {
        if (event._tag === "Bound") Deferred.unsafeDone(bound, Effect.void)
        say(report(event))
      }
    }).pipe(
      Effect.mapError(explain(credential)),
      Effect.onInterrupt(() =>
        Effect.flatMap(Deferred.isDone(bound), (wasUp) =>
          wasUp
            ? Effect.logInfo("closed: local ports are free again", { machine })
            : Effect.logInfo("interrupted before the connection was up", { machine })
        )
      )
    )
  }).pipe(Effect.scoped, Effect.provide(Dialer.layer))
