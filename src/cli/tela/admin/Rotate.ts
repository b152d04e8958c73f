/**
 * `tela admin rotate`, and `tela admin tokens rotate`, which is the same: a new token in place of the old one.
 */
import * as Effect from "effect/Effect"
import * as Command from "../../Command.ts"
import * as Secret from "../../Secret.ts"
import { confirm, hubFlags, identity, open, quiet, readName, segment, yes } from "./AdminFlags.ts"

/** The command at a path, which only its examples need. */
export const make = (path: string): Command.Command =>
  Command.make(
    {
      name: "rotate",
      summary: "replace the token of an identity",
      flags: [...hubFlags, quiet, yes],
      positionals: [identity],
      examples: [`${path} alice -hub wss://hub.example.com`, `${path} alice -yes -quiet`],
      notes: ["Name, role and permissions stay. What was begun with the old token ends."]
    },
    (given) =>
      Effect.gen(function* () {
        const id = yield* readName(given, identity)
        const alone = yield* given.flag(quiet)
        const admin = yield* open(given)
        yield* confirm(given, `Replace the token of ${id} at ${admin.hub}?`)
        const { token } = yield* admin.ask((api, headers) => api.tokens.rotate({ path: { id: segment(id) }, headers }))
        yield* Secret.show(token, {
          quiet: alone,
          before: `Rotated the token of ${id}.`,
          after: "The old one has stopped working."
        })
      })
  )

export const command = make("tela admin rotate")
