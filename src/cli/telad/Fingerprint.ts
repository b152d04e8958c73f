/**
 * `telad fingerprint`: the agent's key as people compare it, made now if there is none yet.
 */
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as KeyPair from "../../crypto/KeyPair.ts"
import * as KeyFile from "../../store/KeyFile.ts"
import * as Paths from "../../store/Paths.ts"
import * as Command from "../Command.ts"
import * as Flags from "../Flags.ts"
import { print, printJson, Shell } from "../Shell.ts"
import * as AgentFlags from "./AgentFlags.ts"

const json = Flags.toggle("json", "print JSON, with the public key")

export const command = Command.make(
  {
    name: "fingerprint",
    summary: "print the key that clients must see",
    flags: [AgentFlags.config, json],
    examples: ["telad fingerprint -config /var/lib/tela/telad/telad.yaml", "telad fingerprint"],
    notes: ["Without -config it is the key of an agent started from flags by this user."]
  },
  (given) =>
    Effect.gen(function* () {
      const shell = yield* Shell
      const file = yield* given.flag(AgentFlags.config)
      const asJson = yield* given.flag(json)
      const folder = Option.match(file, {
        onNone: () => Paths.stateFolder(shell.env),
        onSome: (name) => Path.dirname(Path.resolve(shell.cwd, name))
      })
      const keys = yield* KeyFile.loadOrCreate(Paths.agentKeyFile(folder))
      const fingerprint = KeyPair.fingerprint(keys.publicKey)
      yield* asJson ? printJson({ fingerprint, publicKey: keys.publicHex }) : print(fingerprint)
    })
)
