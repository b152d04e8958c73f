/**
 * Text made fit for a log line or a terminal: one line, no control characters. A word of a foreign program that becomes
 * part of a sentence of ours goes through {@link printable}; what we write ourselves, foreign words and all, goes through
 * {@link oneLine} on its way out.
 */

const SHOWN_CHARACTERS = 300

/**
 * `text` with everything that could move a cursor or break a line replaced by `?`, cut to a length people read. For
 * reasons and names that another program sent.
 */
export const printable = (text: string): string => {
  const clean = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, "?")
  return clean.length > SHOWN_CHARACTERS ? `${clean.slice(0, SHOWN_CHARACTERS)}...` : clean
}

/** A word that somebody wrote, as a sentence of ours repeats it. */
export const quoted = (text: string): string => JSON.stringify(printable(text))

/**
 * `text` of any length with what could break or forge a line escaped: control characters, line separators and Unicode
 * direction marks. For whole lines of a log or a table, from which nothing may be lost.
 */
export const oneLine = (text: string): string =>
  text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    if (character === "\n") return "\\n"
    if (character === "\r") return "\\r"
    if (character === "\t") return "\\t"
    return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`
  })
