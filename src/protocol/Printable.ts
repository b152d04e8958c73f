/** Text that another program sent, made fit for a log line or a terminal: one line, no control characters, bounded. */

const SHOWN_CHARACTERS = 300

/** `text` with everything that could move a cursor or break a line replaced by `?`, cut to a length people read. */
export const printable = (text: string): string => {
  const clean = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, "?")
  return clean.length > SHOWN_CHARACTERS ? `${clean.slice(0, SHOWN_CHARACTERS)}...` : clean
}
