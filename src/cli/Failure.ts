/**
 * How a command ends when it does not succeed: one line for the person, and an exit code for the script.
 */
import * as Data from "effect/Data"

/** The command was understood and did not succeed: exit code 1. */
export class Failed extends Data.TaggedError("Failed")<{ readonly message: string }> {}

/** The command line itself is wrong: exit code 2. */
export class WrongUsage extends Data.TaggedError("WrongUsage")<{ readonly message: string }> {}

/** The program ends with this exit code and has nothing to say: another program is told something by it. */
export class Exits extends Data.TaggedError("Exits")<{ readonly code: number; readonly message: string }> {}

/** Anything with a sentence for a person; errors of the libraries are taken as they are. */
export interface Failure {
  readonly message: string
}

/** Exit codes (docs/cli.md). `restart` asks a supervisor to start the program again (EX_TEMPFAIL of sysexits.h). */
export const ExitCode = { ok: 0, failed: 1, usage: 2, restart: 75, interrupted: 130 } as const
