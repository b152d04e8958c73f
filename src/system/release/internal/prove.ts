/** Whether a version that was unpacked runs here: it says which one it is, and shows its help, which loads all of it. */
import { execFile } from "node:child_process"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import { printable } from "../../../protocol/Printable.ts"
import { UPDATE_PROVE_TIMEOUT } from "../../../protocol/Limits.ts"
import { InstallError } from "../InstallError.ts"
import type { Expected } from "./unpack.ts"

interface Ran {
  readonly failed: boolean
  readonly stdout: string
  readonly stderr: string
}

/** Nothing of the caller's environment but what finds and runs a program: no token, no configuration. */
const environment = (): NodeJS.ProcessEnv => {
  const kept = ["PATH", "PATHEXT", "SystemRoot", "TMPDIR", "TEMP", "LD_LIBRARY_PATH"]
  return Object.fromEntries(
    kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))
  )
}

const run = (script: string, args: ReadonlyArray<string>): Effect.Effect<Ran> =>
  Effect.async((resume) => {
    const child = execFile(
      process.execPath,
      [script, ...args],
      { env: environment(), cwd: Path.dirname(script), timeout: UPDATE_PROVE_TIMEOUT, killSignal: "SIGKILL" },
      (error, stdout, stderr) => resume(Effect.succeed({ failed: error !== null, stdout, stderr }))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** The line of an uncaught error that says what it is, else the first line. */
const reasonOf = ({ stderr, stdout }: Ran): string => {
  const lines = `${stderr}\n${stdout}`.split("\n").map((line) => line.trim())
  return printable(lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.find((line) => line !== "") ?? "no answer")
}

/** Fails unless the version in a folder runs and is the one that was expected. */
export const prove = (folder: string, expected: Expected): Effect.Effect<void, InstallError> =>
  Effect.gen(function* () {
    const { arch, os, program, version } = expected
    const script = Path.join(folder, "bin", program)
    const unproved = (why: string) =>
      new InstallError({ kind: "unproved", message: `${version} does not run here, so it was not installed: ${why}` })
    const said = yield* run(script, ["version"])
    if (said.failed) return yield* unproved(reasonOf(said))
    if (said.stdout !== `${program} ${version} ${os}/${arch}\n`) {
      return yield* unproved(`it says that it is ${printable(said.stdout.trim())}`)
    }
    const helped = yield* run(script, ["-h"])
    if (helped.failed) return yield* unproved(reasonOf(helped))
  })
