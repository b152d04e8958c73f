/**
 * What identities were called, and when. A name may belong to one identity after another, so a name alone says nothing:
 * it is known together with the place in the record where it was written.
 */
import { AUDIT_NAMES, AUDIT_RENAMES } from "../../protocol/Limits.ts"

/** An identity got another name. Events up to `after` know it by the former one. */
export interface Rename {
  readonly after: number
  readonly former: string
  readonly current: string
}

/** Events in which a name means one certain identity: those above `after`, up to `upTo`. */
export interface Span {
  readonly name: string
  readonly after: number
  readonly upTo: number
}

export interface Names {
  /** Adds the latest one. */
  readonly add: (rename: Rename) => void
  /** What the one is called now who was called so in the event of this sequence; undefined when it is the same. */
  readonly now: (name: string, sequence: number) => string | undefined
  /** Where to look for the identity that has a name now, the latest first; the last AUDIT_NAMES that it had. */
  readonly spans: (name: string) => ReadonlyArray<Span>
  /** The last sequence of events whose names cannot be known, since there were too many renames; 0 for none. */
  readonly expired: () => number
  /** Forgets what only events before this sequence need. */
  readonly forget: (oldest: number) => void
  /** Renames that are remembered. */
  readonly size: () => number
}

/** The end of a span that has not ended. */
export const NOW = Number.MAX_SAFE_INTEGER

/** The first index from `from` on of which a condition holds that holds of all that follow, too. */
const firstOf = (length: number, from: number, holds: (index: number) => boolean): number => {
  let low = from
  let high = length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}

/** Numbers of renames by a name, each list in order. */
const makeIndex = () => {
  const byName = new Map<string, Array<number>>()
  return {
    add: (name: string, number: number) => {
      const of = byName.get(name)
      if (of === undefined) byName.set(name, [number])
      else of.push(number)
    },
    /** The first number of which a condition holds that holds of all that follow. */
    first: (name: string, holds: (number: number) => boolean): number | undefined => {
      const of = byName.get(name) ?? []
      return of[firstOf(of.length, 0, (index) => holds(of[index] ?? NOW))]
    },
    /** The last number below this one. */
    lastBelow: (name: string, below: number): number => {
      const of = byName.get(name) ?? []
      return of[firstOf(of.length, 0, (index) => (of[index] ?? NOW) >= below) - 1] ?? -1
    },
    forget: (names: Iterable<string>, below: number) => {
      for (const name of names) {
        const of = byName.get(name) ?? []
        of.splice(
          0,
          firstOf(of.length, 0, (index) => (of[index] ?? NOW) >= below)
        )
        if (of.length === 0) byName.delete(name)
      }
    }
  }
}

export const make = (renames: Iterable<Rename>): Names => {
  /** By number, from 0 on; the first are forgotten. */
  const all = new Map<number, Rename>()
  let first = 0
  let next = 0
  const byFormer = makeIndex()
  const byCurrent = makeIndex()
  /** A later rename of the same identity, where one is known: not all between have to be followed again. */
  const later = new Map<number, number>()

  const add = (rename: Rename) => {
    all.set(next, rename)
    byFormer.add(rename.former, next)
    byCurrent.add(rename.current, next)
    next++
  }

  const afterOf = (number: number): number => all.get(number)?.after ?? NOW

  /** The last rename of the identity that got another name by this one. */
  const lastFrom = (number: number): number => {
    const passed: Array<number> = []
    let last = number
    while (true) {
      const current = all.get(last)?.current
      const at = last
      const following =
        later.get(last) ?? (current === undefined ? undefined : byFormer.first(current, (candidate) => candidate > at))
      if (following === undefined) break
      passed.push(last)
      last = following
    }
    for (const each of passed) later.set(each, last)
    return last
  }

  for (const rename of renames) add(rename)

  return {
    add,
    now: (name, sequence) => {
      const begin = byFormer.first(name, (number) => afterOf(number) >= sequence)
      const current = begin === undefined ? undefined : all.get(lastFrom(begin))?.current
      return current === name ? undefined : current
    },
    spans: (name) => {
      const spans: Array<Span> = []
      let who = name
      let upTo = NOW
      let before = next
      while (true) {
        const number = Math.max(byFormer.lastBelow(who, before), byCurrent.lastBelow(who, before))
        const last = all.get(number)
        spans.push({ name: who, after: last?.after ?? 0, upTo })
        // Before it was given away, the name was somebody else's.
        if (last === undefined || last.current !== who || spans.length === AUDIT_NAMES) return spans
        who = last.former
        upTo = last.after
        before = number
      }
    },
    expired: () => (all.size > AUDIT_RENAMES ? afterOf(next - AUDIT_RENAMES - 1) : 0),
    forget: (oldest) => {
      const names = { former: new Set<string>(), current: new Set<string>() }
      for (let rename = all.get(first); rename !== undefined && rename.after < oldest; rename = all.get(first)) {
        all.delete(first)
        later.delete(first)
        names.former.add(rename.former)
        names.current.add(rename.current)
        first++
      }
      byFormer.forget(names.former, first)
      byCurrent.forget(names.current, first)
    },
    size: () => all.size
  }
}
