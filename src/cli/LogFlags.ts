/**
 * The flags that say how a program logs. They are read before the command runs, because its logger is made of them.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Log from "../telemetry/Log.ts"
import type { LogRing } from "../telemetry/LogRing.ts"
import type { WrongUsage } from "./Failure.ts"
import * as Flags from "./Flags.ts"

const verbose = Flags.toggle("v", "the same as -log-level debug")

const level = Flags.choice({
  name: "log-level",
  placeholder: "LEVEL",
  description: "what is logged: debug, info, warn or error",
  choices: Log.levels,
  otherwise: "info"
})

const format = Flags.choice({
  name: "log-format",
  placeholder: "FORMAT",
  description: "text or json",
  choices: Log.formats,
  otherwise: "text"
})

/** For the commands that log as they run. */
export const logFlags: ReadonlyArray<Flags.Flag<unknown>> = [level, format, verbose]

/** The logger that a command line asks for. */
export const logger = Effect.fnUntraced(function* (
  program: string,
  given: ReadonlyMap<string, string>,
  write: (line: string) => void,
  ring: LogRing
): Effect.fn.Return<Layer.Layer<never>, WrongUsage> {
  const loud = yield* Flags.decodeFlag(verbose, given.get("v"))
  const least = yield* Flags.decodeFlag(level, given.get("log-level"))
  const form = yield* Flags.decodeFlag(format, given.get("log-format"))
  return Log.layer({ program, format: form, level: loud ? "debug" : least, write, ring })
})
