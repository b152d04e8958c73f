/**
 * `tela admin hub logs`: the last lines that the hub logged.
 */
import * as Effect from "effect/Effect"
import * as Command from "../../../Command.ts"
import { hubFlags, open } from "../AdminFlags.ts"
import * as LogPages from "../LogPages.ts"

export const command = Command.make(
  {
    name: "logs",
    summary: "show what the hub logged",
    flags: [...hubFlags, ...LogPages.logFlags],
    examples: [
      "tela admin hub logs -hub wss://hub.example.com",
      "tela admin hub logs -n 200 -level warn",
      "tela admin hub logs -follow"
    ]
  },
  (given) =>
    Effect.gen(function* () {
      const admin = yield* open(given)
      yield* LogPages.show(given, {
        name: admin.hub,
        read: ({ after, level, lines, wait }) =>
          admin.patient((api, headers) =>
            api.operations.logs({
              headers,
              urlParams: {
                ...(lines !== undefined && { lines: String(lines) }),
                ...(level !== undefined && { level }),
                ...(after !== undefined && { after }),
                ...(wait !== undefined && { wait: String(wait) })
              }
            })
          ),
        explain: admin.explain
      })
    })
)
