/**
 * What a person probably meant: the known word nearest to a misspelt one, for flags, keys, commands and names.
 */

/** Words longer than this are not compared: nobody mistypes them, and the cost is quadratic. */
const COMPARED_CHARACTERS = 64

/** Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours, each at a cost of one. */
export const distance = (a: string, b: string): number => {
  const width = b.length + 1
  let beforeLast: Array<number> = []
  let last = Array.from({ length: width }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j < width; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1)
      }
      row.push(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.length] ?? 0
}

/**
 * The known word nearest to `word`, whatever the case, if it is near enough that a slip of the hand explains it: a third
 * of the letters, or one that continues it.
 */
export const nearest = (word: string, known: Iterable<string>): string | undefined => {
  const wanted = word.toLowerCase()
  if (wanted.length === 0 || wanted.length > COMPARED_CHARACTERS) return undefined
  let best: string | undefined
  let bestCost = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const lower = candidate.toLowerCase()
    if (lower.length > COMPARED_CHARACTERS) continue
    const continues = wanted.length >= 3 && lower.startsWith(wanted)
    const cost = continues ? Math.min(1, distance(wanted, lower)) : distance(wanted, lower)
    const allowed = Math.max(1, Math.floor(Math.max(wanted.length, lower.length) / 3))
    if (cost <= allowed && cost < bestCost) {
      best = candidate
      bestCost = cost
    }
  }
  return best
}

/** The end of an error sentence: `; did you mean "x"?`, or nothing when no known word is near. */
export const didYouMean = (word: string, known: Iterable<string>): string => {
  const found = nearest(word, known)
  return found === undefined ? "" : `; did you mean "${found}"?`
}
