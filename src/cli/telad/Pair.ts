/**
 * `telad pair`: a token for this computer's agent, for a register code.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { oneLine } from "../../protocol/Printable.ts"
import * as Quote from "../../protocol/Quote.ts"
import * as Command from "../Command.ts"
import { ca } from "../NetworkFlags.ts"
import * as Pairing from "../Pairing.ts"
import { print } from "../Shell.ts"
import { hub, machine, readHub } from "./AgentFlags.ts"
import * as AgentStore from "./AgentStore.ts"

export const command = Command.make(
  {
    name: "pair",
    summary: "redeem a register code for the agent's token",
    flags: [hub, Pairing.code, machine, Pairing.replace, ca],
    examples: ["telad pair -hub wss://hub.example.com -code ABCD-1234 -machine barn"],
    notes: ["The token that the code is worth is kept as `telad login` would keep it."]
  },
  (given) =>
    Effect.gen(function* () {
      const where = yield* readHub(given)
      const code = yield* Pairing.readCode(given)
      const hubAsGiven = yield* given.required(hub)
      const named = Option.getOrUndefined(yield* given.flag(machine))
      const store = yield* AgentStore.choose
      const answer = yield* Pairing.redeem(given, { hub: where, code, type: "register", machine: named, store })
      const name = answer.machine ?? named ?? "NAME"
      const next = `telad ${Quote.flag("hub", hubAsGiven)} ${Quote.flag("machine", name)} -ports "22:SSH"`
      yield* print(
        [
          `Paired with ${where} as ${answer.identity}; the token is kept in ${store.file}.`,
          `It may register ${name}.`,
          `Next: ${next}`
        ]
          .map(oneLine)
          .join("\n")
      )
    })
)
