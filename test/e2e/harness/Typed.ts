/**
 * Command lines as a person types them from a page of the documentation: run by a shell, with the three programs on its
 * path and a home of their own. Only what a reader would replace is replaced: the hub's address, names in angle brackets.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Path from "node:path"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import * as Program from "./Program.ts"
import { repositoryRoot } from "./Workspace.ts"

export interface Typed {
  readonly home: string
  /** The line after the replacements, as a command for {@link Program.start}. */
  readonly command: (line: string, more?: Partial<Program.Command>) => Program.Command
  /** Types a line that succeeds; what it printed on stdout. */
  readonly run: (line: string, more?: Partial<Program.Command>) => Effect.Effect<string, Program.ProgramFailed>
  /** Types a line that fails; its exit code and what it printed on stderr. */
  readonly fail: (
    line: string,
    more?: Partial<Program.Command>
  ) => Effect.Effect<{ readonly code: number | null; readonly stderr: string }, Program.ProgramFailed>
}

/** A shell of a user; `replacements` by what stands on the page. */
export const make = (replacements: Readonly<Record<string, string>>): Effect.Effect<Typed, never, Scope.Scope> =>
  Effect.map(temporaryFolder, (home) => {
    const command = (line: string, more: Partial<Program.Command> = {}): Program.Command => {
      let typed = line
      for (const [printed, real] of Object.entries(replacements)) typed = typed.replaceAll(printed, real)
      return {
        name: line,
        command: "/bin/bash",
        args: ["-c", typed],
        cwd: home,
        ...more,
        env: {
          HOME: home,
          // What belongs to the machine and not to the user; not this machine's.
          TELA_SYSTEM: Path.join(home, "system"),
          PATH: `${Path.join(repositoryRoot, "bin")}:${process.env["PATH"] ?? "/usr/bin:/bin"}`,
          ...more.env
        }
      }
    }
    return {
      home,
      command,
      run: (line, more) => Effect.map(Program.run(command(line, more)), ({ stdout }) => stdout),
      fail: (line, more) =>
        Effect.gen(function* () {
          const { code, stderr, stdout } = yield* Program.outcome(command(line, more))
          if (code !== 0) return { code, stderr }
          return yield* new Program.ProgramFailed({ program: line, problem: "should have failed", output: stdout })
        })
    }
  })
