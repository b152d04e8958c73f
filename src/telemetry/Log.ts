/**
 * How programs log: one line an event on stderr, for people or as JSON. A line is never broken by what is logged: control
 * characters are escaped. Secrets are Redacted values and print as `<redacted>`.
 */
import * as Cause from "effect/Cause"
import * as HashMap from "effect/HashMap"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type { Level } from "../protocol/Management.ts"
import { oneLine } from "../protocol/Printable.ts"
import type { LogRing } from "./LogRing.ts"

export const formats = ["text", "json"] as const
export type Format = (typeof formats)[number]

export { type Level, levels } from "../protocol/Management.ts"

const minimum: Readonly<Record<Level, LogLevel.LogLevel>> = {
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warn: LogLevel.Warning,
  error: LogLevel.Error
}

const plain = (value: unknown): string => {
  if (typeof value === "string") return value
  if (Redacted.isRedacted(value)) return "<redacted>"
  if (value instanceof Error) return value.message
  return Inspectable.toStringUnknown(value, 0)
}

/** A plain object that is logged beside the message: its members are annotations of this one line. */
const isMembers = (part: unknown): part is Readonly<Record<string, unknown>> =>
  Predicate.isRecord(part) && !Redacted.isRedacted(part) && Object.getPrototypeOf(part) === Object.prototype

/** What failed, in a sentence; undefined for no failure. Interruption alone is no failure. */
const failureOf = (cause: Cause.Cause<unknown>): string | undefined => {
  if (Cause.isEmpty(cause) || Cause.isInterruptedOnly(cause)) return undefined
  return Cause.prettyErrors(cause)
    .map((error) => error.message)
    .join("; ")
}

const quoted = (value: string): string => (/^[^\s"=\\]+$/.test(value) ? value : JSON.stringify(value))

const label = (level: LogLevel.LogLevel): string => (level === LogLevel.Warning ? "WARN" : level.label)

interface Line {
  readonly time: string
  readonly level: string
  readonly program: string
  readonly message: string
  readonly members: ReadonlyArray<readonly [string, unknown]>
}

const lineOf = (program: string, event: Logger.Logger.Options<unknown>): Line => {
  const parts: ReadonlyArray<unknown> = Array.isArray(event.message) ? event.message : [event.message]
  const failure = failureOf(event.cause)
  const annotations = [...HashMap.toEntries(event.annotations)].sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    time: event.date.toISOString(),
    level: label(event.logLevel),
    program,
    message: parts
      .filter((part) => !isMembers(part))
      .map(plain)
      .join(" "),
    members: [
      ...annotations,
      ...parts.filter(isMembers).flatMap((part) => Object.entries(part)),
      ...(failure === undefined ? [] : [["error", failure] as const])
    ]
  }
}

/** Our word for a level of Effect's. */
const levelOf = (level: LogLevel.LogLevel): Level => {
  if (LogLevel.greaterThanEqual(level, LogLevel.Error)) return "error"
  if (LogLevel.greaterThanEqual(level, LogLevel.Warning)) return "warn"
  return LogLevel.greaterThanEqual(level, LogLevel.Info) ? "info" : "debug"
}

/** The machine that a line is annotated with. */
const machineOf = ({ annotations }: Logger.Logger.Options<unknown>): string | undefined => {
  const machine = Option.getOrUndefined(HashMap.get(annotations, "machine"))
  return typeof machine === "string" ? machine : undefined
}

/** `<RFC 3339 UTC> <LEVEL> [program] message key=value…` */
const text = (program: string): Logger.Logger<unknown, string> =>
  Logger.make((event) => {
    const line = lineOf(program, event)
    const time = `${line.time.slice(0, 19)}Z`
    const members = line.members.map(([key, value]) => ` ${key}=${quoted(plain(value))}`).join("")
    return oneLine(`${time} ${line.level.padEnd(5)} [${line.program}] ${line.message}${members}`)
  })

/** One JSON object a line: time, level, program, message, and the annotations by name. */
const json = (program: string): Logger.Logger<unknown, string> =>
  Logger.make((event) => {
    const { members, ...line } = lineOf(program, event)
    const value = (member: unknown) =>
      typeof member === "number" || typeof member === "boolean" ? member : plain(member)
    return JSON.stringify({ ...Object.fromEntries(members.map(([key, member]) => [key, value(member)])), ...line })
  })

/** Where log lines go, in which form, from which level up. */
export interface LogOptions {
  readonly program: string
  readonly format: Format
  readonly level: Level
  readonly write: (line: string) => void
  /** What remembers the last of them; nothing does unless given. */
  readonly ring?: LogRing | undefined
}

/** Replaces Effect's default logger. */
export const layer = (options: LogOptions): Layer.Layer<never> => {
  const logger = options.format === "json" ? json(options.program) : text(options.program)
  // What is remembered is text, whatever the form in which it is written.
  const inText = text(options.program)
  const { ring, write } = options
  const writing = Logger.make<unknown, void>((event) => {
    const line = logger.log(event)
    write(`${line}\n`)
    ring?.take({
      text: options.format === "text" ? line : inText.log(event),
      level: levelOf(event.logLevel),
      machine: machineOf(event)
    })
  })
  return Layer.merge(Logger.replace(Logger.defaultLogger, writing), Logger.minimumLogLevel(minimum[options.level]))
}
