/**
 * A real program in its own process, for tests: started by path, waited for by what it prints, ended by pid with its
 * scope. A wait that fails says everything the program printed.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"

/** How long a program gets to print what is waited for, unless the wait says otherwise. */
const PATIENCE: Duration.DurationInput = "20 seconds"

/** From a polite signal to SIGKILL, when a scope ends a program. */
const GRACE: Duration.DurationInput = "5 seconds"

/** How a program ended: its exit code, or the signal that killed it. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A program did not start, did not print what was waited for, or did not end as it should; with all it printed. */
export class ProgramFailed extends Schema.TaggedError<ProgramFailed>()("ProgramFailed", {
  program: Schema.String,
  problem: Schema.String,
  output: Schema.String
}) {
  override get message(): string {
    return `${this.program}: ${this.problem}\n--- all it printed\n${this.output}\n---`
  }
}

export type Stream = "stdout" | "stderr"

export interface Expectation {
  /** Where to look; both streams unless given. */
  readonly on?: Stream
  /** Ignore what was printed before this mark. */
  readonly from?: number
  readonly within?: Duration.DurationInput
}

export interface Program {
  readonly name: string
  readonly pid: number
  /** What it has printed so far, on one stream or, in order of arrival, on both. */
  readonly output: (on?: Stream) => string
  /** How much it has printed so far, to be given to a later `expect` as `from`; of one stream or of both. */
  readonly mark: (on?: Stream) => number
  /** Waits until the pattern matches what was printed; fails when the program ends before, or time is up. */
  readonly expect: (pattern: RegExp, expectation?: Expectation) => Effect.Effect<RegExpExecArray, ProgramFailed>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Writes to its standard input; only for one that {@link Command.talks}. */
  readonly write: (text: string) => Effect.Effect<void>
  /** Waits for the end. */
  readonly ended: Effect.Effect<Ended>
  /** Sends the signal and waits for the end, which must come in time. */
  readonly end: (signal: NodeJS.Signals, within?: Duration.DurationInput) => Effect.Effect<Ended, ProgramFailed>
}

export interface Command {
  /** What failures and dumps call it; the command otherwise. */
  readonly name?: string
  readonly command: string
  readonly args?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Written to its standard input, which is then closed; without it the program reads nothing. */
  readonly input?: string | Uint8Array
  /** Its standard input stays open, for {@link Program.write}. */
  readonly talks?: boolean
  /** The signal its scope ends it with. */
  readonly endsOn?: NodeJS.Signals
}

/** The environment of every program: nothing of the caller's but how to find programs and temporary space. */
const baseEnvironment = (): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "/usr/bin:/bin:/usr/sbin:/sbin",
  LANG: "C.UTF-8",
  ...(process.env["TMPDIR"] === undefined ? {} : { TMPDIR: process.env["TMPDIR"] })
})

/** Starts a program; its scope ends it. When the scope closes with a failure, what it printed goes to stderr. */
export const start = (command: Command): Effect.Effect<Program, ProgramFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const name = command.name ?? command.command
    const printed = { stdout: "", stderr: "", both: "" }
    const watchers = new Set<() => void>()
    let over: Ended | undefined
    let failure: Error | undefined

    const child = spawn(command.command, [...(command.args ?? [])], {
      env: { ...baseEnvironment(), ...command.env },
      stdio: [command.input === undefined && command.talks !== true ? "ignore" : "pipe", "pipe", "pipe"],
      ...(command.cwd === undefined ? {} : { cwd: command.cwd })
    })
    const changed = () => {
      for (const watcher of watchers) watcher()
    }
    const collect = (on: Stream) => {
      child[on]?.setEncoding("utf8").on("data", (text: string) => {
        printed[on] += text
        printed.both += text
        changed()
      })
    }
    collect("stdout")
    collect("stderr")
    child.stdin?.on("error", () => {})
    if (command.talks !== true) child.stdin?.end(command.input)
    child.on("error", (error) => {
      failure = error
      over ??= { code: null, signal: null }
      changed()
    })
    // "close" rather than "exit": by then everything it printed has arrived
    child.on("close", (code, signal) => {
      over ??= { code, signal }
      changed()
    })

    const failed = (problem: string) => new ProgramFailed({ program: name, problem, output: printed.both })

    const watch = <A, E>(look: () => Effect.Effect<A, E> | undefined) =>
      Effect.async<A, E>((resume) => {
        const watcher = () => {
          const found = look()
          if (found === undefined) return
          watchers.delete(watcher)
          resume(found)
        }
        watchers.add(watcher)
        watcher()
        return Effect.sync(() => watchers.delete(watcher))
      })

    const ended = watch(() => (over === undefined ? undefined : Effect.succeed(over)))
    const signal = (which: NodeJS.Signals) => Effect.sync(() => over === undefined && child.kill(which))

    yield* Effect.addFinalizer((exit) =>
      Effect.gen(function* () {
        yield* signal(command.endsOn ?? "SIGTERM")
        yield* ended.pipe(
          Effect.timeoutOption(GRACE),
          Effect.flatMap((left) => (left._tag === "None" ? Effect.zipRight(signal("SIGKILL"), ended) : Effect.void))
        )
        if (Exit.isFailure(exit)) process.stderr.write(`--- ${name} printed\n${printed.both}\n---\n`)
      })
    )

    if (child.pid === undefined) {
      yield* ended
      return yield* failed(`did not start: ${failure?.message ?? "no reason given"}`)
    }

    return {
      name,
      pid: child.pid,
      output: (on) => printed[on ?? "both"],
      mark: (on) => printed[on ?? "both"].length,
      expect: (pattern, { on, from = 0, within = PATIENCE } = {}) =>
        watch<RegExpExecArray, ProgramFailed>(() => {
          const match = pattern.exec(printed[on ?? "both"].slice(from))
          if (match !== null) return Effect.succeed(match)
          if (over !== undefined) return Effect.fail(failed(`ended (${describe(over)}) without printing ${pattern}`))
          return undefined
        }).pipe(
          Effect.timeoutFail({
            duration: within,
            onTimeout: () => failed(`did not print ${pattern} within ${Duration.format(within)}`)
          })
        ),
      signal: (which) => Effect.asVoid(signal(which)),
      write: (text) => Effect.sync(() => void child.stdin?.write(text)),
      ended,
      end: (which, within = "10 seconds") =>
        Effect.zipRight(signal(which), ended).pipe(
          Effect.timeoutFail({
            duration: within,
            onTimeout: () => failed(`did not end within ${Duration.format(within)} of ${which}`)
          })
        )
    }
  })

const describe = ({ code, signal }: Ended): string => (signal === null ? `exit code ${code}` : `killed by ${signal}`)

/** Runs a program to its end, and hands over what it printed; anything but exit code 0 fails. */
export const run = (
  command: Command,
  within: Duration.DurationInput = "60 seconds"
): Effect.Effect<{ readonly stdout: string; readonly stderr: string }, ProgramFailed> =>
  Effect.scoped(
    Effect.gen(function* () {
      const program = yield* start(command)
      const failed = (problem: string) =>
        new ProgramFailed({ program: program.name, problem, output: program.output() })
      const how = yield* program.ended.pipe(
        Effect.timeoutFail({
          duration: within,
          onTimeout: () => failed(`did not end within ${Duration.format(within)}`)
        })
      )
      if (how.code !== 0) return yield* failed(describe(how))
      return { stdout: program.output("stdout"), stderr: program.output("stderr") }
    })
  )

/** Runs a program to its end, however that is. */
export const outcome = (
  command: Command,
  within: Duration.DurationInput = "30 seconds"
): Effect.Effect<Ended & { readonly stdout: string; readonly stderr: string }, ProgramFailed> =>
  Effect.scoped(
    Effect.gen(function* () {
      const program = yield* start(command)
      const how = yield* program.ended.pipe(
        Effect.timeoutFail({
          duration: within,
          onTimeout: () =>
            new ProgramFailed({
              program: program.name,
              problem: `did not end within ${Duration.format(within)}`,
              output: program.output()
            })
        })
      )
      return { ...how, stdout: program.output("stdout"), stderr: program.output("stderr") }
    })
  )
