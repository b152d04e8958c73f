/**
 * What a command has of the process around it: its name, its environment, where it writes, and how it says that an
 * interruption is its ordinary end.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { LogRing } from "../telemetry/LogRing.ts"

export class Shell extends Context.Tag("tela/cli/Shell")<
  Shell,
  {
    /** The program's name. */
    readonly program: string
    readonly env: Readonly<Record<string, string | undefined>>
    readonly cwd: string
    /** Writes to stdout, with a newline. */
    readonly print: (text: string) => Effect.Effect<void>
    /** Writes to stderr, with a newline: what a person should know, and no script reads. */
    readonly note: (text: string) => Effect.Effect<void>
    /** The last lines of its log. */
    readonly ring: LogRing
    /** From now on Ctrl-C is how the command is meant to end: exit code 0. */
    readonly up: Effect.Effect<void>
  }
>() {}

/** Writes to stdout, with a newline. */
export const print = (text: string): Effect.Effect<void, never, Shell> =>
  Effect.flatMap(Shell, (shell) => shell.print(text))

/** Writes to stderr, with a newline. */
export const note = (text: string): Effect.Effect<void, never, Shell> =>
  Effect.flatMap(Shell, (shell) => shell.note(text))

/** Writes a value as people and scripts read it: JSON with two spaces. */
export const printJson = (value: unknown): Effect.Effect<void, never, Shell> =>
  print(JSON.stringify(value, undefined, 2))
