/**
 * Printing the log of a hub or an agent, and following it: page after page from where the last one ended, for as long as
 * the person wants. What is not there for a while is asked again.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { HubError } from "../../../client/HubError.ts"
import { FOLLOW_PAUSE, FOLLOW_RETRY, LOG_LINES_DEFAULT, LOG_RING_LINES, LOG_WAIT } from "../../../protocol/Limits.ts"
import { levels, type LogsAnswer, type LogsQuery } from "../../../protocol/Management.ts"
import { oneLine } from "../../../protocol/Printable.ts"
import type { Given } from "../../Command.ts"
import { Failed, type Failure } from "../../Failure.ts"
import * as Flags from "../../Flags.ts"
import { note, print, Shell } from "../../Shell.ts"

const count = Flags.integer({
  name: "n",
  placeholder: "COUNT",
  description: `how many lines; ${LOG_LINES_DEFAULT} unless given`,
  least: 1,
  most: LOG_RING_LINES
})
const level = Flags.choice({
  name: "level",
  placeholder: "LEVEL",
  description: "only lines of this level or above: debug, info, warn, error",
  choices: levels,
  otherwise: "debug"
})
const follow = Flags.toggle("follow", "go on with what comes, until Ctrl-C")

export const logFlags: ReadonlyArray<Flags.Flag<unknown>> = [count, level, follow]

/** Lines of one page while following: few enough that a program that logs without pause is not held up. */
const PAGE_LINES = 500

/** Failures that may pass by themselves. */
const passing: ReadonlySet<HubError["kind"]> = new Set(["failed", "offline", "throttled", "unanswered", "unreachable"])

export interface Source {
  /** What is followed, in a sentence. */
  readonly name: string
  readonly read: (query: LogsQuery) => Effect.Effect<LogsAnswer, Failed | HubError>
  readonly explain: (error: HubError) => Failed
}

const printLines = ({ lines = [], missed = 0 }: LogsAnswer) =>
  Effect.gen(function* () {
    if (missed > 0) yield* note(`Note: ${missed} lines in between are not remembered any more.`)
    if (lines.length > 0) yield* print(lines.map(oneLine).join("\n"))
  })

/** Prints what the command line asks for. */
export const show = (given: Given, source: Source): Effect.Effect<void, Failure, Shell> =>
  Effect.gen(function* () {
    const lines = Option.getOrElse(yield* given.flag(count), () => LOG_LINES_DEFAULT)
    const least = yield* given.flag(level)
    const goesOn = yield* given.flag(follow)
    const explained = (error: Failed | HubError): Failed => (error._tag === "Failed" ? error : source.explain(error))
    const filter = given.has(level) ? { level: least } : {}
    const first = yield* Effect.mapError(source.read({ lines, ...filter }), explained)
    yield* printLines(first)
    if (!goesOn) return
    if (first.cursor === undefined) {
      return yield* new Failed({ message: `-follow: ${source.name} is too old for it; ask without -follow` })
    }
    let cursor: string = first.cursor
    const shell = yield* Shell
    yield* shell.up
    let isAway = false
    while (true) {
      const query: LogsQuery = { lines: PAGE_LINES, after: cursor, wait: LOG_WAIT, ...filter }
      const page: LogsAnswer | undefined = yield* source.read(query).pipe(
        Effect.catchIf(
          (error) => error._tag !== "Failed" && passing.has(error.kind),
          (error) =>
            Effect.gen(function* () {
              if (!isAway) yield* note(oneLine(`Note: ${explained(error).message}; asking again until it is back.`))
              isAway = true
              yield* Effect.sleep(FOLLOW_RETRY)
              return undefined
            })
        ),
        Effect.mapError(explained)
      )
      if (page === undefined) continue
      isAway = false
      cursor = page.cursor ?? cursor
      yield* printLines(page)
      const { lines: told = [] } = page
      // A full page says that there is more already, which is not remembered for long.
      if (told.length > 0 && told.length < PAGE_LINES) yield* Effect.sleep(FOLLOW_PAUSE)
    }
  })
