/**
 * `tela admin agent set`: changes a machine's entry of its agent's telad.yaml.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type ConfigChange, ConfigChanged, JsonObject } from "../../../../protocol/Management.ts"
import { oneLine } from "../../../../protocol/Printable.ts"
import * as Command from "../../../Command.ts"
import { WrongUsage } from "../../../Failure.ts"
import * as Flags from "../../../Flags.ts"
import { note, print, printJson } from "../../../Shell.ts"
import { json } from "../../HubFlags.ts"
import { agent, agentFlags } from "./AgentRequest.ts"

const patch = Flags.argument("json")

const readPatch = (text: string): Effect.Effect<JsonObject, WrongUsage> =>
  Effect.mapError(
    Schema.decode(Schema.parseJson(JsonObject))(text),
    () =>
      new WrongUsage({
        message: `<json>: give a JSON object, such as '{"displayName": "Barn"}'; null takes a key away`
      })
  )

const shown = (value: unknown): string => (value === undefined ? "nothing" : JSON.stringify(value))

const lineOf = ({ from, key, to }: ConfigChange): string => `  ${key}: ${shown(from)} -> ${shown(to)}`

export const command = Command.make(
  {
    name: "set",
    summary: "change the machine's entry of its agent's configuration",
    flags: [...agentFlags, json],
    positionals: [patch],
    examples: [
      `tela admin agent set -machine barn '{"displayName": "Barn", "location": null}'`,
      `tela admin agent set -machine barn '{"ports": [22, 5432]}'`
    ],
    notes: [
      "A JSON merge patch of what `tela admin agent config` shows: null removes a key,",
      "a list replaces the one before. Connections to what stays go on."
    ]
  },
  (given) =>
    Effect.gen(function* () {
      const fields = yield* Effect.flatMap(given.word(patch), readPatch)
      const asJson = yield* given.flag(json)
      const { ask, machine } = yield* agent(given)
      const { message, payload } = yield* ask(
        "config-set",
        { machine, fields },
        Schema.Union(ConfigChanged, Schema.Struct({ changes: Schema.optional(Schema.Undefined) }))
      )
      if (asJson) return yield* printJson(payload)
      if (payload.changes === undefined) {
        yield* print(oneLine(`${machine}: ${message ?? "the agent has taken it"}.`))
        return yield* note("All but displayName, tags, location and owner comes into force when the agent restarts.")
      }
      const { changes, restart = [], warnings = [] } = payload
      yield* print(
        [`${machine}: ${message ?? "done"}${changes.length === 0 ? "." : ":"}`, ...changes.map(lineOf)]
          .map(oneLine)
          .join("\n")
      )
      for (const warning of warnings) yield* note(oneLine(`Note: ${warning}`))
      if (restart.length > 0)
        yield* note(oneLine(`Note: ${restart.join(", ")} comes into force when the agent restarts.`))
    })
)
