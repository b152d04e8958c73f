/**
 * `telahubd user`: identities in the hub's file, on the hub's own machine.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as HubFile from "../../store/HubFile.ts"
import * as Command from "../Command.ts"
import * as Flags from "../Flags.ts"
import { print } from "../Shell.ts"
import * as HubFlags from "./HubFlags.ts"
import * as OwnerToken from "./OwnerToken.ts"

const quiet = Flags.toggle("quiet", "print the token alone")

const bootstrap = Command.make(
  {
    name: "bootstrap",
    summary: "create the hub's file and owner, print the token",
    flags: [HubFlags.config, quiet],
    examples: ["telahubd user bootstrap", "telahubd user bootstrap -config ./data/telahubd.yaml"],
    notes: ["TELA_OWNER_TOKEN, when set, is taken as the owner's token."]
  },
  (given) =>
    Effect.gen(function* () {
      const short = yield* given.flag(quiet)
      const { path } = yield* HubFlags.locate(given)
      const token = yield* HubFile.bootstrap(path, { ownerToken: yield* HubFlags.ownerToken })
      yield* short ? print(Redacted.value(token)) : OwnerToken.announce(path, token)
    })
)

export const command = Command.group({
  name: "user",
  summary: "manage identities on the hub's own machine",
  subcommands: [bootstrap]
})
