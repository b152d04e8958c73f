/**
 * `tela admin access remove`, and `tela admin tokens remove`, which is the same: an identity goes, with all that it had.
 */
import * as Effect from "effect/Effect"
import * as Command from "../../Command.ts"
import { print } from "../../Shell.ts"
import { confirm, hubFlags, identity, open, readName, segment, yes } from "./AdminFlags.ts"

/** The command at a path, which only its examples need. */
export const make = (path: string): Command.Command =>
  Command.make(
    {
      name: "remove",
      summary: "remove an identity and all its permissions",
      flags: [...hubFlags, yes],
      positionals: [identity],
      examples: [`${path} alice -hub wss://hub.example.com`],
      notes: ["Its access ends at once. Nothing brings it back."]
    },
    (given) =>
      Effect.gen(function* () {
        const id = yield* readName(given, identity)
        const admin = yield* open(given)
        yield* confirm(given, `Remove ${id} and all its permissions at ${admin.hub}?`)
        yield* admin.ask((api, headers) => api.access.remove({ path: { id: segment(id) }, headers }))
        yield* print(`Removed ${id} and all its permissions.`)
      })
  )
