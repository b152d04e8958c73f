/**
 * Copies an installation into a service's folder, and stops for ever at one step, having said so: to be killed there.
 * Arguments: the installation, the folder, the program, the step.
 */
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Copy from "../../../src/system/release/Copy.ts"
import * as ReleaseFile from "../../../src/system/release/ReleaseFile.ts"
import { Steps } from "../../../src/system/release/Steps.ts"
import { machine } from "../../../src/system/release/Update.ts"
import * as AsOwner from "../../../src/system/service/AsOwner.ts"
import { stoppingAt } from "../stopping.ts"

const [home = "", folder = "", name = "", stop = ""] = process.argv.slice(2)
const program = ReleaseFile.programs.find((each) => each === name) ?? "telad"

const copying = Effect.gen(function* () {
  const { read } = yield* Copy.look(home, Path.join(folder, "program"), { program, ...machine })
  if (read === undefined) return
  const write = yield* read
  yield* AsOwner.within(folder, (path) => write(Path.join(path, "program")))
})

Effect.runFork(
  Effect.provideService(copying, Steps, stoppingAt(stop)).pipe(
    Effect.match({
      onFailure: ({ message }) => `failed: ${message}`,
      onSuccess: () => `done as ${process.geteuid?.()} in ${process.cwd()}`
    }),
    Effect.map((line) => {
      process.stdout.write(`${line}\n`)
      process.exit(0)
    })
  )
)
