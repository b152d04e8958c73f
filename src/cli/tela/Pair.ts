/**
 * `tela pair`: a token of one's own for a pairing code.
 */
import * as Effect from "effect/Effect"
import type { WhoAmI } from "../../protocol/api/Self.ts"
import { oneLine } from "../../protocol/Printable.ts"
import * as Quote from "../../protocol/Quote.ts"
import * as Command from "../Command.ts"
import { ca } from "../NetworkFlags.ts"
import * as Pairing from "../Pairing.ts"
import { print } from "../Shell.ts"
import * as Stores from "../Stores.ts"
import * as AccessTable from "./admin/AccessTable.ts"
import { hub, readHub } from "./HubFlags.ts"

/** What to do next: connect to the first machine by name, else look which there are. */
const nextCommand = (hubAsGiven: string, who: WhoAmI | undefined): string => {
  const where = Quote.flag("hub", hubAsGiven)
  const machine = who?.machines.find(
    ({ machineId, permissions }) => machineId !== "*" && permissions.includes("connect")
  )
  return machine === undefined
    ? `tela machines ${where}`
    : `tela connect ${where} ${Quote.flag("machine", machine.machineId)}`
}

export const command = Command.make(
  {
    name: "pair",
    summary: "redeem a pairing code",
    flags: [hub, Pairing.code, Pairing.replace, ca],
    examples: ["tela pair -hub wss://hub.example.com -code ABCD-1234"],
    notes: ["The token that the code is worth is kept as `tela login` would keep it."]
  },
  (given) =>
    Effect.gen(function* () {
      const where = yield* readHub(given)
      const code = yield* Pairing.readCode(given)
      const hubAsGiven = yield* given.required(hub)
      const { user } = yield* Stores.stores
      const { identity, token } = yield* Pairing.redeem(given, { hub: where, code, type: "connect", store: user })
      const Self = yield* Effect.promise(() => import("../../client/Self.ts"))
      const HttpClient = yield* Effect.promise(() => import("../../transport/HttpClient.ts"))
      // The pairing stands, whatever becomes of the question what it is good for.
      const who = yield* Self.whoami({ hub: where, token }).pipe(
        Effect.provide(HttpClient.layer),
        Effect.orElseSucceed(() => undefined)
      )
      yield* print(
        [
          `Paired with ${where} as ${identity}; the token is kept in ${user.file}.`,
          ...(who === undefined ? [] : [`You may use: ${AccessTable.everything(who.role, who.machines)}`]),
          `Next: ${nextCommand(hubAsGiven, who)}`
        ]
          .map(oneLine)
          .join("\n")
      )
    })
)
