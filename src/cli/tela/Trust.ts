/**
 * `tela trust`: the keys of machines that this user remembers, and the way out when one changed on purpose.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as KeyPair from "../../crypto/KeyPair.ts"
import * as HubUrl from "../../protocol/HubUrl.ts"
import * as KeyFile from "../../store/KeyFile.ts"
import * as Paths from "../../store/Paths.ts"
import * as Command from "../Command.ts"
import { Failed } from "../Failure.ts"
import * as Flags from "../Flags.ts"
import { print, printJson, Shell } from "../Shell.ts"
import * as Table from "../Table.ts"
import { hub, json, readFingerprint, readHub } from "./HubFlags.ts"

const name = Flags.argument("machine")
const someName = Flags.optionalArgument("machine")
const fingerprint = Flags.text({
  name: "fingerprint",
  placeholder: "SHA256:...",
  description: "the key, as `telad fingerprint` prints it there"
})

/** Unlike {@link hub} it has no variable: a hub that is set for `tela connect` must not hide the keys of others. */
const ofHub = Flags.text({ name: "hub", placeholder: "URL", description: "only keys of machines at this hub" })

/** The remembered keys; what reads their file is loaded only now, so that the other commands start faster. */
const pins = Effect.flatMap(Shell, (shell) =>
  Effect.map(
    Effect.promise(() => import("../../store/KnownMachines.ts")),
    (KnownMachines) => KnownMachines.make(Paths.knownMachinesFile(Paths.stateFolder(shell.env)))
  )
)

/** The fingerprint of this user's own key, which an agent's owner may list; there is none before the first connect. */
const ownKey = Effect.flatMap(Shell, (shell) =>
  KeyFile.load(Paths.clientKeyFile(Paths.stateFolder(shell.env))).pipe(
    Effect.map((keys) => Option.some(KeyPair.fingerprintOfHex(keys.publicHex))),
    Effect.orElseSucceed(() => Option.none<string>())
  )
)

const show = Command.make(
  {
    name: "show",
    summary: "list remembered keys, and your own",
    flags: [ofHub, json],
    positionals: [someName],
    examples: ["tela trust show", "tela trust show web-01 -json"]
  },
  (given) =>
    Effect.gen(function* () {
      const wanted = yield* given.word(someName)
      const where = yield* given.flag(ofHub)
      const asJson = yield* given.flag(json)
      const known = yield* pins
      const all = yield* known.list
      const listed = all.filter(
        (pin) =>
          Option.getOrElse(wanted, () => pin.machine) === pin.machine &&
          Option.match(where, { onNone: () => true, onSome: (url) => HubUrl.canonical(url) === pin.hub })
      )
      const own = yield* ownKey
      if (asJson) return yield* printJson({ ownKey: Option.getOrNull(own), machines: listed })
      if (Option.isSome(own)) yield* print(`Your key: ${own.value}`)
      if (all.length === 0) return yield* print("No machine is remembered yet: tela connect remembers it.")
      if (listed.length === 0) return yield* print("No key matches.")
      yield* print(
        Table.render(
          ["MACHINE", "HUB", "KEY"],
          listed.map((pin) => [pin.machine, pin.hub, pin.fingerprint])
        )
      )
    })
)

const accept = Command.make(
  {
    name: "accept",
    summary: "remember a key, in place of the one before",
    flags: [hub, fingerprint],
    positionals: [name],
    examples: ["tela trust accept web-01 -hub wss://hub.example.com -fingerprint SHA256:..."],
    notes: ["Accept a changed key only when the machine's owner confirms it."]
  },
  (given) =>
    Effect.gen(function* () {
      const machine = yield* given.word(name)
      const where = yield* readHub(given)
      const key = yield* readFingerprint(yield* given.required(fingerprint))
      const known = yield* pins
      const before = yield* known.accept(where, machine, key)
      const replaced = before === undefined || before === key ? "" : ` in place of ${before}`
      yield* print(`${machine} at ${where} has the key ${key}${replaced}.`)
    })
)

const forget = Command.make(
  {
    name: "forget",
    summary: "forget a key; the next connect remembers a new one",
    flags: [hub],
    positionals: [name],
    examples: ["tela trust forget web-01 -hub wss://hub.example.com"]
  },
  (given) =>
    Effect.gen(function* () {
      const machine = yield* given.word(name)
      const where = yield* readHub(given)
      const known = yield* pins
      const before = yield* known.forget(where, machine)
      if (before === undefined) {
        return yield* new Failed({
          message: `no key of "${machine}" at ${where} is remembered; run: tela trust show`
        })
      }
      yield* print(`Forgot the key ${before} of ${machine} at ${where}.`)
    })
)

export const command = Command.group({
  name: "trust",
  summary: "show, accept or forget the keys of machines",
  subcommands: [show, accept, forget]
})
