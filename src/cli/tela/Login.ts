/**
 * `tela login` and `tela logout`: this user's token for a hub, kept in the credential store.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "../Command.ts"
import * as Flags from "../Flags.ts"
import * as Login from "../Login.ts"
import { ca } from "../NetworkFlags.ts"
import { print } from "../Shell.ts"
import * as Stores from "../Stores.ts"
import { address, readAddress } from "./HubFlags.ts"
import * as Pin from "./Pin.ts"

const pin = Flags.text({
  name: "pin",
  placeholder: "sha256:...",
  description: "the key that the hub's certificate must have"
})

export const login = Command.make(
  {
    name: "login",
    summary: "keep your token for a hub",
    flags: [pin, ca],
    positionals: [address],
    examples: ["tela login wss://hub.example.com", "tela login hub.example.com -pin sha256:..."],
    notes: ["Asks for the token without showing it, or reads it from a pipe."]
  },
  (given) =>
    Effect.gen(function* () {
      const hub = yield* readAddress(given)
      const pinned = yield* Effect.transposeOption(
        Option.map(yield* given.flag(pin), (text) => Pin.read(text, hub, "-pin"))
      )
      const { setPin, user } = yield* Stores.stores
      yield* Login.run({ hub, store: user, pin: Option.getOrUndefined(pinned) })
      if (Option.isSome(pinned)) yield* setPin(hub, pinned.value)
    })
)

export const logout = Command.make(
  {
    name: "logout",
    summary: "forget your token and pin for a hub",
    positionals: [address],
    examples: ["tela logout wss://hub.example.com"]
  },
  (given) =>
    Effect.gen(function* () {
      const hub = yield* readAddress(given)
      const { user } = yield* Stores.stores
      const had = yield* user.remove(hub)
      yield* print(had ? `Forgot what was kept for ${hub} in ${user.file}.` : `Nothing is kept for ${hub}.`)
    })
)
