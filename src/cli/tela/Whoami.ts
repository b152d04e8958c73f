/**
 * `tela whoami`: whom the hub takes you for, and what you may do there.
 */
import * as Effect from "effect/Effect"
import { oneLine } from "../../protocol/Printable.ts"
import * as Command from "../Command.ts"
import { Failed } from "../Failure.ts"
import { ca } from "../NetworkFlags.ts"
import { print, printJson } from "../Shell.ts"
import * as AccessTable from "./admin/AccessTable.ts"
import { shownTime } from "./admin/AdminFlags.ts"
import { explain, hub, json, readHub, readToken, token } from "./HubFlags.ts"

export const command = Command.make(
  {
    name: "whoami",
    summary: "say whom the hub takes you for",
    flags: [hub, token, ca, json],
    examples: ["tela whoami -hub wss://hub.example.com", "tela whoami -json"]
  },
  (given) =>
    Effect.gen(function* () {
      const where = yield* readHub(given)
      const asJson = yield* given.flag(json)
      const credential = yield* readToken(given, where)
      if (credential.token === undefined) {
        return yield* new Failed({
          message: `no token for ${where}: give -token, set TELA_TOKEN, or run: tela login ${where}`
        })
      }
      const Self = yield* Effect.promise(() => import("../../client/Self.ts"))
      const HttpClient = yield* Effect.promise(() => import("../../transport/HttpClient.ts"))
      const who = yield* Self.whoami({ hub: where, token: credential.token }).pipe(
        Effect.provide(HttpClient.layer),
        Effect.mapError(explain(credential))
      )
      if (who === undefined) {
        return yield* new Failed({ message: `${where} takes the token, but is too old to say whose it is` })
      }
      if (asJson) return yield* printJson({ hub: where, ...who, source: credential.source })
      yield* print(
        [
          `Hub:      ${where}`,
          `Identity: ${who.id}`,
          `Role:     ${who.role}`,
          `Expires:  ${shownTime(who.expiresAt)}`,
          `Machines: ${AccessTable.everything(who.role, who.machines)}`,
          `Token:    from ${credential.source}`
        ]
          .map(oneLine)
          .join("\n")
      )
    })
)
