/**
 * How a text stands in the files of service managers and on their command lines, so that it stays the one word that it
 * is, whatever is in it. Pure.
 */
import * as Either from "effect/Either"
import { quoted } from "../../protocol/Printable.ts"
import { ServiceError } from "./ServiceError.ts"

const control = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu

const unusable = (text: string, what: string) =>
  Either.left(new ServiceError({ problem: `${quoted(text)} holds ${what}, which no service can be given; rename it` }))

/** A word that every service manager can be told: without control characters. Paths may hold them, and ours may not. */
export const word = (text: string): Either.Either<string, ServiceError> =>
  text.search(control) === -1 ? Either.right(text) : unusable(text, "a control character")

/**
 * A word of a setting of a unit, as systemd.syntax(7) has it. `%` begins a specifier, also within quotes. What `$` means
 * depends on the setting: in ExecStart= nothing, after a colon.
 */
export const unitWord = (text: string): string => `"${text.replace(/["\\]/g, "\\$&").replaceAll("%", "%%")}"`

/** The rest of a line of a unit, which no quotes enclose. A backslash at its end would take in the next line. */
export const unitText = (text: string): string =>
  text.replace(control, " ").replaceAll("%", "%%").trim().replace(/\\+$/, "")

/** Text of an element or attribute of XML; control characters, which XML cannot hold, become spaces. */
export const xml = (text: string): string =>
  text
    .replace(control, " ")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&apos;")

/** A word of a command line of Windows, where backslashes count only before a quote. */
export const windowsWord = (text: string): string => {
  if (text !== "" && !/[\s"]/.test(text)) return text
  const escaped = text.replace(/(\\*)("|$)/g, (_, slashes: string, quote: string) =>
    quote === "" ? slashes + slashes : `${slashes}${slashes}\\"`
  )
  return `"${escaped}"`
}

/** The same for a scheduled task, in which `%` begins a variable and nothing takes that away. */
export const taskWord = (text: string): Either.Either<string, ServiceError> =>
  text.includes("%") ? unusable(text, "a percent sign") : Either.map(word(text), windowsWord)
