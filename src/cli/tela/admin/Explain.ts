/**
 * `tela admin access explain`: whether an identity may do something, and by which rule.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { machinePermissions } from "../../../policy/Identity.ts"
import * as Duration from "../../../protocol/Duration.ts"
import { didYouMean } from "../../../protocol/Nearest.ts"
import { oneLine, quoted } from "../../../protocol/Printable.ts"
import * as Command from "../../Command.ts"
import { WrongUsage } from "../../Failure.ts"
import * as Flags from "../../Flags.ts"
import { print, printJson } from "../../Shell.ts"
import { json } from "../HubFlags.ts"
import { hubFlags, identity, machine, open, readName, shownTime } from "./AdminFlags.ts"

const permission = Flags.argument("permission")
const service = Flags.text({ name: "service", placeholder: "NAME", description: "ask of one service: a name or port" })
const at = Flags.text({ name: "at", placeholder: "TIME", description: "ask of another time than now" })

/** What may be asked of a machine: seeing it is part of connecting to it. */
const askable = [...machinePermissions, "view"]

export const command = Command.make(
  {
    name: "explain",
    summary: "say whether an identity may do something, and why",
    flags: [...hubFlags, service, at, json],
    positionals: [identity, machine, permission],
    examples: [
      "tela admin access explain alice barn connect -hub wss://hub.example.com",
      "tela admin access explain alice barn connect -at 2027-01-31T12:00:00Z"
    ]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readName(given, identity)
      const on = yield* readName(given, machine)
      const asked = yield* given.word(permission)
      if (!askable.includes(asked)) {
        return yield* new WrongUsage({
          message: `<permission>: ${quoted(asked)} is no permission; give one of ${askable.join(", ")}${didYouMean(asked, askable)}`
        })
      }
      const name = Option.getOrUndefined(yield* given.flag(service))
      const when = yield* Effect.transposeOption(
        Option.map(yield* given.flag(at), (text) =>
          Either.mapBoth(Duration.parseInstant(text), {
            onLeft: (problem) => new WrongUsage({ message: `-at: ${problem}` }),
            onRight: Duration.formatInstant
          })
        )
      )
      const asJson = yield* given.flag(json)
      const admin = yield* open(given)
      const answer = yield* admin.ask((api, headers) =>
        api.access.explain({
          headers,
          urlParams: {
            id,
            machine: on,
            permission: asked,
            ...(name !== undefined && { service: name }),
            ...(Option.isSome(when) && { at: when.value })
          }
        })
      )
      if (asJson) return yield* printJson(answer)
      const until = answer.until === undefined ? "" : `, until ${shownTime(answer.until)}`
      yield* print(oneLine(`${answer.permit ? "yes" : "no"}: ${answer.rule}${until}`))
    })
)
