/**
 * `tela connect`: local ports that lead to a machine's services, until Ctrl-C.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Connect from "../../client/Connect.ts"
import type { ConnectError } from "../../client/ConnectError.ts"
import type { ConnectEvent } from "../../client/ConnectEvent.ts"
import * as LocalPorts from "../../client/LocalPorts.ts"
import * as KeyFile from "../../store/KeyFile.ts"
import * as KnownMachines from "../../store/KnownMachines.ts"
import * as Paths from "../../store/Paths.ts"
import * as Dialer from "../../transport/Dialer.ts"
import * as Command from "../Command.ts"
import { Failed, WrongUsage } from "../Failure.ts"
import * as Flags from "../Flags.ts"
import { logFlags } from "../LogFlags.ts"
import { Shell } from "../Shell.ts"
import { type Credential, hub, machine, readHub, readToken, token } from "./HubFlags.ts"
import * as ServicesTable from "./ServicesTable.ts"

const ports = Flags.text({ name: "ports", placeholder: "LIST", description: "ports to bind, such as 2222:22,5432" })
const services = Flags.text({ name: "services", placeholder: "LIST", description: "services to bind, by name" })
const fingerprint = Flags.text({
  name: "fingerprint",
  placeholder: "SHA256:...",
  description: "the key the machine must have"
})
const wait = Flags.toggle("wait", "wait for a machine that is offline")

/** A refused token is named by where it came from. */
const explain = (credential: Credential) => (error: ConnectError) =>
  new Failed({ message: error.kind === "denied" ? `${error.reason}; ${credential.origin}` : error.reason })

/** What is said of an event on stderr; the table goes to stdout. */
const report = (event: ConnectEvent): Effect.Effect<void, never, Shell> => {
  switch (event._tag) {
    case "Connected": {
      const { fingerprint: key, machine: name, principal } = event
      const as = principal === undefined ? {} : { as: principal }
      const said = event.again ? "connected again" : "connected"
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
    case "Reconnecting":
      return Effect.logWarning(`connection lost; next try in ${(event.retryIn / 1000).toFixed(1)} s`).pipe(
        Effect.annotateLogs({ machine: event.machine, reason: event.reason })
      )
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

export const command = Command.make(
  {
    name: "connect",
    summary: "bind local ports that lead to a machine's services",
    flags: [hub, machine, token, ports, services, fingerprint, wait, ...logFlags],
    examples: [
      "tela connect -hub wss://hub.example.com -machine web-01 -token TOKEN",
      "tela connect -machine db-01 -ports 15432:5432",
      "tela connect -machine web-01 -services SSH"
    ],
    notes: ["Without -ports and -services, every service is bound. Ctrl-C ends it."]
  },
  (given) =>
    Effect.gen(function* () {
      const shell = yield* Shell
      const where = yield* readHub(given)
      const name = yield* given.required(machine)
      const credential = yield* readToken(given)
      const pairs = yield* Option.match(yield* given.flag(ports), {
        onNone: () => Either.right<ReadonlyArray<LocalPorts.PortPair>>([]),
        onSome: (list) => Either.mapLeft(LocalPorts.parsePorts(list), (message) => new WrongUsage({ message }))
      })
      const names = LocalPorts.parseServices(Option.getOrElse(yield* given.flag(services), () => ""))
      const expected = yield* given.flag(fingerprint)
      if (Option.isSome(expected) && !Schema.is(KnownMachines.Fingerprint)(expected.value)) {
        return yield* new WrongUsage({
          message: `-fingerprint: "${expected.value}" is none; give SHA256:... as \`telad fingerprint\` prints it`
        })
      }
      const patient = yield* given.flag(wait)

      const folder = Paths.stateFolder(shell.env)
      const identity = yield* KeyFile.loadOrCreate(Paths.clientKeyFile(folder))
      const dialer = yield* Dialer.Dialer
      const say = yield* FiberSet.makeRuntime<Shell>()
      const bound = yield* Deferred.make<void>()
      yield* Connect.run({
        hub: where,
        machine: name,
        token: credential.token,
        identity,
        known: KnownMachines.make(Paths.knownMachinesFile(folder)),
        fingerprint: Option.getOrUndefined(expected),
        dial: dialer.dial,
        ports: pairs,
        services: names,
        wait: patient,
        onEvent: (event) => {
          if (event._tag === "Bound") Deferred.unsafeDone(bound, Effect.void)
          say(report(event))
        }
      }).pipe(
        Effect.mapError(explain(credential)),
        Effect.onInterrupt(() =>
          Effect.flatMap(Deferred.isDone(bound), (wasUp) =>
            wasUp
              ? Effect.annotateLogs(Effect.logInfo("closed: local ports are free again"), { machine: name })
              : Effect.logInfo("interrupted before the connection was up")
          )
        )
      )
    }).pipe(Effect.scoped, Effect.provide(Dialer.layer))
)
