/**
 * `telad login` and `telad logout`: the token of this computer's agent for a hub.
 */
import * as Effect from "effect/Effect"
import * as Command from "../Command.ts"
import * as Login from "../Login.ts"
import { ca } from "../NetworkFlags.ts"
import { print } from "../Shell.ts"
import * as Stores from "../Stores.ts"
import { hub, readHub } from "./AgentFlags.ts"
import * as AgentStore from "./AgentStore.ts"

export const login = Command.make(
  {
    name: "login",
    summary: "keep the agent's token for a hub",
    flags: [hub, ca],
    examples: ["telad login -hub wss://hub.example.com"],
    notes: ["Asks for the token without showing it, or reads it from a pipe."]
  },
  (given) =>
    Effect.gen(function* () {
      const where = yield* readHub(given)
      yield* Login.run({ hub: where, store: yield* AgentStore.choose })
    })
)

export const logout = Command.make(
  {
    name: "logout",
    summary: "forget the agent's token and pin for a hub",
    flags: [hub],
    examples: ["telad logout -hub wss://hub.example.com"]
  },
  (given) =>
    Effect.gen(function* () {
      const where = yield* readHub(given)
      const { system, user, userAgent } = yield* Stores.stores
      for (const { file, remove } of [system, userAgent]) {
        if (yield* remove(where)) return yield* print(`Forgot what was kept for ${where} in ${file}.`)
      }
      // An agent without a token of its own would go on with it.
      const own = yield* user.find(where)
      const yours = own?.token === undefined ? "" : ` Your own token stays; to forget it, run: tela logout ${where}`
      yield* print(`Nothing is kept for an agent at ${where}.${yours}`)
    })
)
