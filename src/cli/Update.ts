/**
 * `update` of the three programs: installs the newest release of a channel, or a certain one, in place of the one that is
 * installed (spec: cli 7.2).
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "./Command.ts"
import * as Flags from "./Flags.ts"
import { ca } from "./NetworkFlags.ts"
import { quarters } from "./Quarters.ts"
import { print, Shell } from "./Shell.ts"
import * as Updates from "./Updates.ts"
import type { Program } from "./UpdateWork.ts"

const version = Flags.text({ name: "version", placeholder: "VERSION", description: "this one, not the newest" })
const dryRun = Flags.toggle("dry-run", "say what would be done, and do nothing")
const allowDowngrade = Flags.toggle("allow-downgrade", "also install an older version than is installed")

/** The command of one of the programs. */
export const command = (program: Program): Command.Command =>
  Command.make(
    {
      name: "update",
      summary: "install the newest release of the channel",
      flags: [...program.flags, Updates.channel, version, dryRun, allowDowngrade, ca],
      examples: [`${program.name} update`, `${program.name} update -version v1.2.0 -dry-run`],
      notes: ["Only what is signed with the key of this release is installed."]
    },
    (given) =>
      Effect.gen(function* () {
        const asked = {
          channel: Option.getOrUndefined(yield* given.flag(Updates.channel)),
          version: Option.getOrUndefined(yield* given.flag(version)),
          allowDowngrade: yield* given.flag(allowDowngrade)
        }
        const only = yield* given.flag(dryRun)
        const { note } = yield* Shell
        const work = yield* Updates.work
        const { decision, install, installed, offer, settle, untried } = yield* work.plan(program, given, asked)
        yield* print(
          [
            `Channel: ${offer.verified.manifest.channel}`,
            `Current: ${installed}`,
            `${asked.version === undefined ? "Latest: " : "Wanted: "} ${offer.version.text}`
          ].join("\n")
        )
        const todo = yield* decision
        if (todo._tag === "Current") {
          if (!only) yield* settle
          return yield* print("Up to date.")
        }
        const { binary, file, version: next } = todo.candidate
        if (only) return yield* print(`Would install ${file} (${binary.size} bytes). Nothing was changed.`)
        const told = quarters(`Downloading ${file}`, note)
        yield* install(todo.candidate, offer.address, {
          onProgress: ({ received, size }) => told(received, size),
          onInstall: note("Unpacking, and trying whether it runs here")
        })
        yield* print(`Installed ${next.text}; ${installed} is kept.`)
        if (untried !== undefined) {
          const back = `${program.name} update -version ${installed} -allow-downgrade`
          yield* print(`Without a trial, since ${untried}: look whether it works; to go back, run: ${back}`)
        }
        if (program.restart !== undefined) yield* print(program.restart)
      })
  )
