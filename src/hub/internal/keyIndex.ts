/** Finds values by a key that several may share; a key that holds none takes no place. */
export interface KeyIndex<V> {
  readonly add: (key: string, value: V) => void
  readonly remove: (key: string, value: V) => void
  /** Those of a key, in the order they came, as they are now: what is removed meanwhile disturbs nobody who goes through them. */
  readonly of: (key: string) => ReadonlyArray<V>
  readonly count: (key: string) => number
  readonly keys: () => Iterable<string>
}

export const make = <V>(): KeyIndex<V> => {
  const byKey = new Map<string, Set<V>>()
  return {
    add: (key, value) => {
      const held = byKey.get(key)
      if (held === undefined) byKey.set(key, new Set([value]))
      else held.add(value)
    },
    remove: (key, value) => {
      const held = byKey.get(key)
      held?.delete(value)
      if (held?.size === 0) byKey.delete(key)
    },
    of: (key) => [...(byKey.get(key) ?? [])],
    count: (key) => byKey.get(key)?.size ?? 0,
    keys: () => byKey.keys()
  }
}
