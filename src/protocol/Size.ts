/** Sizes and rates as people write them: `512MiB`, `1GB`, and with `/s` behind it what may pass in a second. */

const units: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30
}

/** Bytes of a size; undefined when it is none. Small `b` stands for bits elsewhere, so it is no unit here. */
export const parse = (text: string): number | undefined => {
  const [, amount, unit = ""] = /^(\d{1,9}(?:\.\d{1,3})?) ?([A-Za-z]+)$/.exec(text) ?? []
  const bytes = Math.round(Number(amount) * (Object.hasOwn(units, unit) ? (units[unit] ?? Number.NaN) : Number.NaN))
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Bytes a second of a rate; undefined when it is none. */
export const parseRate = (text: string): number | undefined =>
  text.endsWith("/s") ? parse(text.slice(0, -2)) : undefined
