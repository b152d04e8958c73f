/**
 * Runs a program: reads the command line, shows help, runs the command, and ends with one line on stderr and an exit
 * code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
 */
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { oneLine } from "../protocol/Printable.ts"
import * as LogRing from "../telemetry/LogRing.ts"
import * as Scheduler from "../telemetry/Scheduler.ts"
import { HubNetwork } from "../transport/HubNetwork.ts"
import { HubPins } from "../transport/TlsPin.ts"
import * as Argv from "./Argv.ts"
import type { Command } from "./Command.ts"
import { ExitCode, Exits, type Failure, WrongUsage } from "./Failure.ts"
import * as Help from "./Help.ts"
import { logger } from "./LogFlags.ts"
import * as NetworkFlags from "./NetworkFlags.ts"
import { Shell } from "./Shell.ts"
import * as VersionCommand from "./VersionCommand.ts"

/** The process as a program sees it. */
export interface Host {
  readonly argv: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

/** Environment variables as configuration; an empty one counts as absent. */
const configOf = (env: Host["env"]): Layer.Layer<never> =>
  Layer.setConfigProvider(
    ConfigProvider.fromMap(
      new Map(
        Object.entries(env).flatMap(([key, value]) => (value === undefined || value === "" ? [] : [[key, value]]))
      )
    )
  )

/** What is pinned of hubs; what reads the stores is loaded when a hub is connected to. */
const pinOf = (env: Host["env"]) => (url: string) =>
  Effect.flatMap(
    Effect.promise(() => import("../store/CredentialStores.ts")),
    (CredentialStores) => CredentialStores.make(env).pinOf(url)
  )

const usageError = (root: Command, path: ReadonlyArray<string>, problem: string): WrongUsage => {
  const name = [root.name, ...path].join(" ")
  return new WrongUsage({ message: `${problem} (see ${name} -h)` })
}

/** What is printed, with a newline: whoever wrote a part of it, nothing moves the cursor or changes the terminal. */
const lines = (text: string): string => `${text.split("\n").map(oneLine).join("\n")}\n`

/** Runs what the command line says; `up` is called when an interruption has become the ordinary end. */
export const run = (root: Command, host: Host, up: () => void): Effect.Effect<void, Failure> => {
  const parsed = Argv.parse(root, host.argv)
  const print = (text: string) => Effect.sync(() => host.out(lines(text)))
  switch (parsed._tag) {
    case "Version":
      return print(VersionCommand.line(root.name))
    case "Wrong":
      return usageError(root, parsed.path, parsed.problem)
    case "Help":
    case "Run": {
      const command = Argv.find(root, parsed.path)
      if (command === undefined) return Effect.dieMessage(`no command ${parsed.path.join(" ")}`)
      if (parsed._tag === "Help" || command.run === undefined) {
        return print(Help.render(command, root.name, parsed.path))
      }
      const ring = LogRing.make()
      const shell = Shell.of({
        program: root.name,
        env: host.env,
        cwd: host.cwd,
        print,
        note: (text) => Effect.sync(() => host.err(lines(text))),
        ring,
        up: Effect.sync(up)
      })
      const action = command.run(parsed.flags, parsed.positionals)
      return logger(root.name, parsed.flags, host.err, ring).pipe(
        Effect.flatMap((log) => Effect.provide(action, log)),
        Effect.provideService(Shell, shell),
        Effect.provideService(HubPins, { pinOf: pinOf(host.env) }),
        Effect.provideServiceEffect(HubNetwork, NetworkFlags.network(command.flags, parsed.flags, host)),
        Effect.provide(configOf(host.env)),
        Effect.catchAll((failure) =>
          failure instanceof WrongUsage ? usageError(root, parsed.path, failure.message) : Effect.fail(failure)
        )
      )
    }
  }
}

const sentence = (failure: unknown): string =>
  Predicate.hasProperty(failure, "message") ? String(failure.message) : String(failure)

/** What an exit means to the person and to the shell; `line` is undefined when there is nothing to say. */
export const outcome = (
  exit: Exit.Exit<unknown, unknown>,
  wasUp: boolean
): { readonly code: number; readonly line: string | undefined } => {
  if (Exit.isSuccess(exit)) return { code: ExitCode.ok, line: undefined }
  const failure = Cause.failureOption(exit.cause)
  if (Option.isSome(failure)) {
    if (failure.value instanceof Exits) return { code: failure.value.code, line: undefined }
    const code = failure.value instanceof WrongUsage ? ExitCode.usage : ExitCode.failed
    return { code, line: oneLine(sentence(failure.value)) }
  }
  if (Cause.isInterruptedOnly(exit.cause)) {
    return { code: wasUp ? ExitCode.ok : ExitCode.interrupted, line: undefined }
  }
  const [defect] = Cause.prettyErrors(exit.cause)
  return { code: ExitCode.failed, line: oneLine(`internal error: ${defect?.message ?? "unknown"}`) }
}

/** Runs a program as this process. */
export const main = (root: Command): void => {
  let wasUp = false
  process.stdout.on("error", (error) => {
    // A reader that has gone (`tela machines | head -1`) is no error of ours. On a full disk a secret may have been lost.
    if ("code" in error && error.code === "EPIPE") process.exit(ExitCode.ok)
    process.stderr.write(`${root.name}: the output cannot be written: ${oneLine(error.message)}\n`)
    process.exit(ExitCode.failed)
  })
  process.stderr.on("error", () => {})
  const host: Host = {
    argv: process.argv.slice(2),
    env: process.env,
    cwd: process.cwd(),
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text)
  }
  const program = run(root, host, () => {
    wasUp = true
  })
  // Nothing else may keep the process alive: a fiber that waits is no handle.
  const alive = setInterval(() => {}, 2 ** 31 - 1)
  const fiber = Effect.runFork(Scheduler.withScheduler(program))
  let signalled = false
  const interrupt = () => {
    // Whoever asks twice does not want to wait for the end in order.
    if (signalled) process.exit(wasUp ? ExitCode.failed : ExitCode.interrupted)
    signalled = true
    fiber.unsafeInterruptAsFork(fiber.id())
  }
  process.on("SIGINT", interrupt)
  process.on("SIGTERM", interrupt)
  fiber.addObserver((exit) => {
    clearInterval(alive)
    const { code, line } = outcome(exit, wasUp)
    if (line !== undefined) process.stderr.write(`${root.name}: ${line}\n`)
    if (signalled || code !== ExitCode.ok) process.exit(code)
  })
}
