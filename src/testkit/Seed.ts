/**
 * Chance that repeats: the same seed gives the same numbers, on every machine. A 32-bit generator with an increment and two
 * rounds of mixing, good enough to choose faults and sizes, and for nothing that must not be guessed.
 */

export interface Seed {
  /** In [0, 1). */
  readonly next: () => number
  /** A whole number from `least` to `most`, both included. */
  readonly between: (least: number, most: number) => number
  /** One of these; there must be one. */
  readonly of: <A>(choices: readonly [A, ...ReadonlyArray<A>]) => A
  /** True once in so many times, on average. */
  readonly onceIn: (times: number) => boolean
}

const INCREMENT = 0x9e3779b9

/** `seed` counts modulo 2^32. */
export const make = (seed: number): Seed => {
  let state = seed >>> 0
  const next = () => {
    state = (state + INCREMENT) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
  }
  const between = (least: number, most: number) => least + Math.floor(next() * (most - least + 1))
  return {
    next,
    between,
    of: (choices) => choices[between(0, choices.length - 1)] ?? choices[0],
    onceIn: (times) => next() * times < 1
  }
}
