/** Durations and instants as people write them: `10m`, `24h`, `7d`, `1h30m`, or a time such as 2027-01-31T12:00:00Z. */
import * as Either from "effect/Either"
import { quoted } from "./Printable.ts"

const unitMillis = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

const whole = /^(?:\d+(?:\.\d+)?[smhd])+$/
const parts = /(\d+(?:\.\d+)?)([smhd])/g

const unitOf = (unit: string | undefined): number =>
  unit === "s" || unit === "m" || unit === "h" || unit === "d" ? unitMillis[unit] : Number.NaN

/** Milliseconds of a duration; the other side of the result is a sentence that says how to write one. */
export const parse = (text: string): Either.Either<number, string> => {
  const wrong = `${quoted(text)} is no duration; write it as 30m, 24h, 7d or 1h30m`
  if (!whole.test(text)) return Either.left(wrong)
  let millis = 0
  for (const [, amount, unit] of text.matchAll(parts)) millis += Number(amount) * unitOf(unit)
  return Number.isSafeInteger(Math.round(millis)) ? Either.right(Math.round(millis)) : Either.left(wrong)
}

/** RFC 3339, section 5.6. */
const instant = /^(\d{4}-\d{2}-\d{2})T(?:[01]\d|2[0-3]):\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/i

/** The last instant that RFC 3339 can write, and so the last there is. */
const LAST = Date.parse("9999-12-31T23:59:59.999Z")

/** Whether a day is in the calendar: JavaScript takes the 31st of February for the 3rd of March. */
const isDay = (day: string): boolean => {
  const at = Date.parse(`${day}T00:00:00Z`)
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(day)
}

/** Milliseconds since the epoch of an RFC 3339 time. */
export const parseInstant = (text: string): Either.Either<number, string> => {
  const [, day = ""] = instant.exec(text) ?? []
  const at = isDay(day) ? Date.parse(text.toUpperCase()) : Number.NaN
  return Number.isNaN(at) || at > LAST
    ? Either.left(`${quoted(text)} is no time; write it as 2027-01-31T12:00:00Z`)
    : Either.right(at)
}

/** Milliseconds since the epoch of a time, or of a duration from now. */
export const parseWhen = (text: string, now: number): Either.Either<number, string> =>
  Either.orElse(parseInstant(text), () => Either.map(parse(text), (millis) => now + millis)).pipe(
    Either.mapLeft(
      () => `${quoted(text)} is neither a duration such as 2h or 30d nor a time such as 2027-01-31T12:00:00Z`
    ),
    Either.filterOrLeft(
      (at) => at <= LAST,
      () => `${quoted(text)} is later than the year 9999`
    )
  )

/** When something expires: a time, or a duration from now. Must lie in the future. */
export const parseExpiry = (text: string, now: number): Either.Either<number, string> =>
  Either.filterOrLeft(
    parseWhen(text, now),
    (at) => at > now,
    () => `${quoted(text)} is not in the future`
  )

/** An instant as every answer of the hub writes it: RFC 3339 in UTC, whole seconds. */
export const formatInstant = (at: number): string => new Date(at).toISOString().replace(/\.\d+Z$/, "Z")
