/**
 * What identities were called, and when. A name may belong to one identity after another, so a name alone says nothing:
 * it is known together with the place in the record where it was written.
 */

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
  readonly add: (rename: Rename) => void
  /** What the one is called now who was called so in the event of this sequence; undefined when it is the same. */
  readonly now: (name: string, sequence: number) => string | undefined
  /** Where to look for the identity that has a name now, the latest first. */
  readonly spans: (name: string) => ReadonlyArray<Span>
}

/** The end of a span that has not ended. */
export const NOW = Number.MAX_SAFE_INTEGER

export const make = (renames: Iterable<Rename>): Names => {
  const all: Array<Rename> = []
  /** Indices of the renames that a name has part in, either way. */
  const byName = new Map<string, Array<number>>()

  const index = (name: string, at: number) => {
    const of = byName.get(name)
    if (of === undefined) byName.set(name, [at])
    else of.push(at)
  }

  const add = (rename: Rename) => {
    const at = all.push(rename) - 1
    index(rename.former, at)
    index(rename.current, at)
  }

  /** The renames of a name, oldest first, each with its index. */
  const of = (name: string) =>
    (byName.get(name) ?? []).flatMap((at) => {
      const rename = all[at]
      return rename === undefined ? [] : [{ ...rename, at }]
    })

  for (const rename of renames) add(rename)

  return {
    add,
    now: (name, sequence) => {
      let current = name
      let from = 0
      while (true) {
        const next = of(current).find(({ after, at, former }) => at >= from && after >= sequence && former === current)
        if (next === undefined) return current === name ? undefined : current
        current = next.current
        from = next.at + 1
      }
    },
    spans: (name) => {
      const spans: Array<Span> = []
      let who = name
      let upTo = NOW
      let before = all.length
      while (true) {
        const last = of(who).findLast(({ at }) => at < before)
        spans.push({ name: who, after: last?.after ?? 0, upTo })
        // Before it was given away, the name was somebody else's.
        if (last === undefined || last.current !== who) return spans
        who = last.former
        upTo = last.after
        before = last.at
      }
    }
  }
}
