/**
 * `tela admin hub channel publish`: uploads a release that was made here to the hub that hosts its channel, and publishes
 * it there.
 */
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "../../../Command.ts"
import { WrongUsage } from "../../../Failure.ts"
import * as Flags from "../../../Flags.ts"
import { Shell } from "../../../Shell.ts"
import { hubFlags, open } from "../AdminFlags.ts"

const folder = Flags.argument("folder")
const channel = Flags.text({ name: "channel", placeholder: "NAME", description: "of several in the folder, this one" })
const version = Flags.text({ name: "version", placeholder: "VERSION", description: "this one, not the newest" })
const dryRun = Flags.toggle("dry-run", "say what would be sent, and send nothing")

/** Reads, looks, sends; loaded when it is needed. */
const work = Effect.promise(() => import("./Publishing.ts"))

export const command = Command.make(
  {
    name: "publish",
    summary: "upload a release, and publish it",
    flags: [...hubFlags, channel, version, dryRun],
    positionals: [folder],
    examples: [
      "tela admin hub channel publish release -hub wss://hub.example.com",
      "tela admin hub channel publish release -channel beta -dry-run"
    ],
    notes: ["For owners. <folder> is what npm run release has written.", "A run that was cut is repeated as it was."]
  },
  (given) =>
    Effect.gen(function* () {
      const { cwd } = yield* Shell
      const named = yield* given.word(folder)
      if (named === "") return yield* new WrongUsage({ message: "<folder> is empty" })
      const only = yield* given.flag(dryRun)
      const publishing = yield* work
      const asked = yield* publishing.readAsked({
        channel: Option.getOrUndefined(yield* given.flag(channel)),
        version: Option.getOrUndefined(yield* given.flag(version))
      })
      const admin = yield* open(given)
      const release = yield* publishing.read(Path.resolve(cwd, named), asked)
      const missing = yield* publishing.look(admin, release)
      if (only) return yield* publishing.describe(admin, release, missing)
      yield* publishing.send(admin, release, missing)
      yield* publishing.publish(admin, release)
    })
)
