/**
 * `tela pin`: the key that a hub's certificate must have, whatever CA vouches for it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TlsPin from "../../transport/TlsPin.ts"
import * as Command from "../Command.ts"
import { WrongUsage } from "../Failure.ts"
import * as Flags from "../Flags.ts"
import { print } from "../Shell.ts"
import * as Stores from "../Stores.ts"
import { address, readAddress } from "./HubFlags.ts"

const fingerprint = Flags.optionalArgument("fingerprint")
const clear = Flags.toggle("clear", "forget the pin")

/** A pin for a hub, checked; `what` names it in the sentence of an error. */
export const read = (text: string, hub: string, what: string): Effect.Effect<string, WrongUsage> => {
  const pin = TlsPin.parse(text)
  if (pin === undefined) {
    return new WrongUsage({ message: `${what}: "${text}" is no pin; it is sha256: and 64 hex digits` })
  }
  return hub.startsWith("ws://")
    ? new WrongUsage({ message: `${what}: ${hub} is reached without TLS and has no key; write it as wss://` })
    : Effect.succeed(pin)
}

export const command = Command.make(
  {
    name: "pin",
    summary: "show, set or clear the TLS key of a hub",
    flags: [clear],
    positionals: [address, fingerprint],
    examples: [
      "tela pin wss://hub.example.com",
      "tela pin wss://hub.example.com sha256:...",
      "tela pin -clear wss://hub.example.com"
    ],
    notes: ["`tela connect -v` shows the key of a hub that is not pinned."]
  },
  (given) =>
    Effect.gen(function* () {
      const hub = yield* readAddress(given)
      const text = yield* given.word(fingerprint)
      const cleared = yield* given.flag(clear)
      if (cleared && Option.isSome(text)) {
        return yield* new WrongUsage({ message: "-clear and a fingerprint exclude each other" })
      }
      const pin = yield* Effect.transposeOption(Option.map(text, (given) => read(given, hub, "<fingerprint>")))
      const { pinOf, setPin } = yield* Stores.stores
      if (Option.isSome(pin)) {
        const before = yield* setPin(hub, pin.value)
        const replaced = before === undefined || before === pin.value ? "" : `, in place of ${before}`
        return yield* print(`Pinned ${hub} to ${pin.value}${replaced}.`)
      }
      const held = cleared ? yield* setPin(hub, null) : yield* pinOf(hub)
      if (held === undefined) return yield* print(`No key is pinned for ${hub}.`)
      yield* print(cleared ? `The key of ${hub} is not pinned any more.` : held)
    })
)
