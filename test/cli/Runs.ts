/**
 * The commands of a program in the test's own process, as `bin` would run them: the same command line, the same output
 * and exit code, and whatever files and variables the test gives. What needs a terminal or a pipe is a test of a real
 * process instead.
 */
import * as Effect from "effect/Effect"
import type { Command } from "../../src/cli/Command.ts"
import * as Program from "../../src/cli/Program.ts"
import { root as tela } from "../../src/cli/tela/Root.ts"
import { root as telad } from "../../src/cli/telad/Root.ts"

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export type Env = Readonly<Record<string, string>>

const run = (root: Command, argv: ReadonlyArray<string>, env: Env): Effect.Effect<Ran> =>
  Effect.gen(function* () {
    const printed = { stdout: "", stderr: "" }
    const host: Program.Host = {
      argv,
      env,
      cwd: "/",
      out: (text) => {
        printed.stdout += text
      },
      err: (text) => {
        printed.stderr += text
      }
    }
    const exit = yield* Effect.exit(Program.run(root, host, () => {}))
    const { code, line } = Program.outcome(exit, false)
    if (line !== undefined) printed.stderr += `${root.name}: ${line}\n`
    return { code, ...printed }
  })

/** The words of a line, of which those in single or double quotes are one. */
export const words = (line: string): ReadonlyArray<string> =>
  [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, plain]) => single ?? double ?? plain ?? "")

/** Types a line that begins with `tela` or `telad`. */
export const type = (line: string, env: Env = {}): Effect.Effect<Ran> => {
  const [program, ...argv] = words(line)
  return run(program === "telad" ? telad : tela, argv, env)
}
