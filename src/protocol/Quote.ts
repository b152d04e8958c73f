/**
 * Words of commands that a person will paste into a shell.
 */

/** A word as a POSIX shell takes it for itself: in quotes when it holds anything that means something else. */
export const word = (text: string): string =>
  /^[\w.:/@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

/** A flag and its value; joined when the value could be taken for a flag. */
export const flag = (name: string, value: string): string =>
  `-${name}${value.startsWith("-") ? "=" : " "}${word(value)}`
