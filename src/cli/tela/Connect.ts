/**
 * `tela connect`: local ports that lead to a machine's services, until Ctrl-C.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as LocalPorts from "../../client/LocalPorts.ts"
import { RESUME_GRACE_MAX } from "../../protocol/Limits.ts"
import * as Command from "../Command.ts"
import { WrongUsage } from "../Failure.ts"
import * as Flags from "../Flags.ts"
import { logFlags } from "../LogFlags.ts"
import { ca } from "../NetworkFlags.ts"
import { hub, machine, readFingerprint, readHub, readToken, token } from "./HubFlags.ts"

const ports = Flags.text({ name: "ports", placeholder: "LIST", description: "ports to bind, such as 2222:22,5432" })
const services = Flags.text({ name: "services", placeholder: "LIST", description: "services to bind, by name" })
const fingerprint = Flags.text({
  name: "fingerprint",
  placeholder: "SHA256:...",
  description: "the key the machine must have"
})
const resumeGrace = Flags.duration({
  name: "resume-grace",
  placeholder: "TIME",
  description: "how long connections wait for a lost session, 2m",
  env: "TELA_RESUME_GRACE",
  most: RESUME_GRACE_MAX
})
const wait = Flags.toggle("wait", "wait for a machine that is offline")

export const command = Command.make(
  {
    name: "connect",
    summary: "bind local ports that lead to a machine's services",
    flags: [hub, machine, token, ports, services, fingerprint, wait, resumeGrace, ca, ...logFlags],
    examples: [
      "tela connect -hub wss://hub.example.com -machine web-01 -token TOKEN",
      "tela connect -machine db-01 -ports 15432:5432",
      "tela connect -machine web-01 -services SSH"
    ],
    notes: ["Without -ports and -services, every service is bound. Ctrl-C ends it."]
  },
  (given) =>
    Effect.gen(function* () {
      const where = yield* readHub(given)
      const name = yield* given.required(machine)
      const pairs = yield* Option.match(yield* given.flag(ports), {
        onNone: () => Either.right<ReadonlyArray<LocalPorts.PortPair>>([]),
        onSome: (list) => Either.mapLeft(LocalPorts.parsePorts(list), (message) => new WrongUsage({ message }))
      })
      const names = LocalPorts.parseServices(Option.getOrElse(yield* given.flag(services), () => ""))
      const expected = yield* Effect.transposeOption(Option.map(yield* given.flag(fingerprint), readFingerprint))
      const patient = yield* given.flag(wait)
      const grace = yield* given.flag(resumeGrace)
      const credential = yield* readToken(given, where)

      const running = yield* Effect.promise(() => import("./ConnectSession.ts"))
      yield* running.run({
        hub: where,
        machine: name,
        credential,
        ports: pairs,
        services: names,
        fingerprint: Option.getOrUndefined(expected),
        wait: patient,
        resumeGrace: Option.getOrUndefined(grace)
      })
    })
)
