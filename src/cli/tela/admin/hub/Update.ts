/**
 * `tela admin hub update`: has the hub update itself.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { oneLine } from "../../../../protocol/Printable.ts"
import * as Command from "../../../Command.ts"
import { print } from "../../../Shell.ts"
import { hubFlags, open } from "../AdminFlags.ts"
import { version } from "../ChannelWords.ts"
import * as UpdateWait from "../UpdateWait.ts"

export const command = Command.make(
  {
    name: "update",
    summary: "have the hub update itself, and wait until it has",
    flags: [...hubFlags, version],
    examples: [
      "tela admin hub update -hub wss://hub.example.com",
      "tela admin hub update -hub wss://hub.example.com -version v0.9.1"
    ],
    notes: ["For owners. Only what is signed is installed."]
  },
  (given) =>
    Effect.gen(function* () {
      const wanted = Option.getOrUndefined(yield* given.flag(version))
      const admin = yield* open(given)
      const begun = yield* Effect.mapError(
        // The hub asks the channel first, which may be far away.
        admin.patient((api, headers) =>
          api.operations.update({ headers, payload: wanted === undefined ? {} : { version: wanted } })
        ),
        admin.explain
      )
      yield* print(oneLine(`${admin.hub}: ${begun.message}`))
      yield* UpdateWait.follow({
        name: admin.hub,
        version: begun.version,
        status: admin.patient((api, headers) => api.operations.updateStatus({ headers })),
        explain: admin.explain
      })
    })
)
