/**
 * The last lines of a daemon's log, for whoever looks from afar: bounded in lines and bytes, read by level and machine, and
 * followed with a cursor. Plain calls; whoever waits for the next line costs the program that logs one call a line.
 */
import * as Crypto from "node:crypto"
import * as Effect from "effect/Effect"
import {
  LOG_GATHER,
  LOG_LINE_CHARACTERS,
  LOG_LINES_DEFAULT,
  LOG_RING_BYTES,
  LOG_RING_LINES,
  LOG_WAIT
} from "../protocol/Limits.ts"
import { type Level, levels, type LogsQuery } from "../protocol/Management.ts"

/** One line of the log. */
export interface LogLine {
  readonly text: string
  readonly level: Level
  /** What it is about; undefined when it is about the whole program. */
  readonly machine: string | undefined
}

/** Lines, oldest first; where to go on; and how many lines after the given cursor are not remembered any more. */
export interface Page {
  readonly lines: ReadonlyArray<string>
  readonly cursor: string
  readonly missed: number
}

/** What to look for. With `machine`, only lines about that machine. */
export interface Query extends LogsQuery {
  readonly machine?: string | undefined
}

export interface LogRing {
  readonly take: (line: LogLine) => void
  readonly read: (query: Query) => Page
  /** The same; when there is nothing it waits as long as the query says, LOG_WAIT at most, and for LOG_GATHER for more. */
  readonly follow: (query: Query) => Effect.Effect<Page>
}

interface Kept extends LogLine {
  readonly number: number
  readonly bytes: number
}

const CURSOR = /^([0-9a-f]{8})\.(\d{1,15})$/

/** How many lines; what is no sensible number asks for none. */
const sizeOf = ({ lines = 0 }: Query): number => (lines >= 1 ? Math.floor(lines) : LOG_LINES_DEFAULT)

const isMeant = ({ level = "debug", machine }: Query, line: LogLine): boolean =>
  levels.indexOf(line.level) >= levels.indexOf(level) && (machine === undefined || line.machine === machine)

export interface Bounds {
  readonly lines: number
  readonly bytes: number
}

/** An empty ring; LOG_RING_LINES and LOG_RING_BYTES unless given. */
export const make = (bounds: Bounds = { lines: LOG_RING_LINES, bytes: LOG_RING_BYTES }): LogRing => {
  /** Tells the lines of this run of the program from those of another. */
  const run = Crypto.randomBytes(4).toString("hex")
  const kept: Array<Kept> = []
  const waiters = new Set<(line: LogLine) => void>()
  let bytes = 0
  let count = 0

  const take = (line: LogLine) => {
    const { text } = line
    const short = text.length > LOG_LINE_CHARACTERS ? `${text.slice(0, LOG_LINE_CHARACTERS)}...` : text
    const size = Buffer.byteLength(JSON.stringify(short)) + 1
    kept.push({ ...line, text: short, number: ++count, bytes: size })
    bytes += size
    while (kept.length > bounds.lines || bytes > bounds.bytes) bytes -= kept.shift()?.bytes ?? 0
    for (const waiter of waiters) waiter(line)
  }

  /** The number that a cursor stands for; 0, before every line, for one of another run. */
  const numberOf = (after: string | undefined): number | undefined => {
    if (after === undefined) return undefined
    const [, of, number] = CURSOR.exec(after) ?? []
    return of === run ? Number(number) : 0
  }

  const read = (query: Query): Page => {
    const from = numberOf(query.after)
    const found = kept.filter((line) => line.number > (from ?? 0) && isMeant(query, line))
    const most = sizeOf(query)
    const taken = from === undefined ? found.slice(-most) : found.slice(0, most)
    // Whoever took fewer than there are goes on behind the last one taken.
    const end = from !== undefined && taken.length < found.length ? (taken.at(-1)?.number ?? from) : count
    const oldest = kept[0]?.number ?? count + 1
    return {
      lines: taken.map(({ text }) => text),
      cursor: `${run}.${end}`,
      missed: from === undefined || from === 0 ? 0 : Math.max(0, oldest - 1 - from)
    }
  }

  const arrival = (query: Query) =>
    Effect.async<void>((resume) => {
      const waiter = (line: LogLine) => {
        if (isMeant(query, line) && waiters.delete(waiter)) resume(Effect.void)
      }
      waiters.add(waiter)
      return Effect.sync(() => waiters.delete(waiter))
    })

  const follow = (query: Query) =>
    Effect.suspend(() => {
      const wait = Math.min(LOG_WAIT, query.wait ?? 0)
      const now = read(query)
      if (!(wait > 0) || now.lines.length >= sizeOf(query)) return Effect.succeed(now)
      const some = now.lines.length > 0 ? Effect.void : Effect.timeoutOption(arrival(query), wait)
      return Effect.flatMap(some, () =>
        read(query).lines.length > 0
          ? Effect.delay(
              Effect.sync(() => read(query)),
              LOG_GATHER
            )
          : Effect.sync(() => read(query))
      )
    })

  return { take, read, follow }
}
