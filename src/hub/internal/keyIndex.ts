/** Finds values by a key that several may share; a key that holds none takes no place. */
export interface KeyIndex<V> {
  readonly add: (key: string, value: V) => void
  readonly remove: (key: string, value: V) => void
  /** Those of a key, as they are now: what is removed meanwhile does not disturb whoever goes through them. */
  readonly of: (key: string) => ReadonlyArray<V>
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
    keys: () => byKey.keys()
  }
}
