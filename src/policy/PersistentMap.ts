/**
 * A map by name that is never changed: a change makes another one, which shares all but the few entries beside what
 * changed. Asking is what it is for, since every message asks: two steps through arrays, and a look into one of Node's own
 * maps, which costs less than effect/HashMap does for thousands of names.
 */

/** Branches of a map, and leaves of a branch; a power of two. A change copies one of each, and a thousandth of the names. */
const WIDTH = 32
const MASK = WIDTH - 1
/** Bits of a hash that tell the branch; those above them tell the leaf. */
const BRANCH_BITS = 5

type Leaf<A> = ReadonlyMap<string, A>
type Branch<A> = ReadonlyArray<Leaf<A>>

export interface PersistentMap<A> {
  /** How many names it has. */
  readonly size: number
  readonly branches: ReadonlyArray<Branch<A>>
}

/** Spreads names over the leaves (FNV-1a). Names that were made to collide make a change slow, and nothing else. */
const hashOf = (name: string): number => {
  let hash = 0x811c9dc5
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  return hash ^ (hash >>> 16)
}

const branchOf = (hash: number): number => hash & MASK
const leafOf = (hash: number): number => (hash >>> BRANCH_BITS) & MASK

const bare: Leaf<never> = new Map<string, never>()
const bareBranch: Branch<never> = Array.from({ length: WIDTH }, () => bare)

/** No names. */
export const empty: PersistentMap<never> = { size: 0, branches: Array.from({ length: WIDTH }, () => bareBranch) }

/** What a name stands for. */
export const get = <A>({ branches, size }: PersistentMap<A>, name: string): A | undefined => {
  if (size === 0) return undefined
  const hash = hashOf(name)
  return branches[branchOf(hash)]?.[leafOf(hash)]?.get(name)
}

/** Every entry, in no order that means anything. */
export const entries = function* <A>({ branches }: PersistentMap<A>): Generator<readonly [string, A]> {
  for (const branch of branches) for (const leaf of branch) yield* leaf
}

/** What the names stand for, in the order of {@link entries}. */
export const values = <A>({ branches }: PersistentMap<A>): ReadonlyArray<A> => {
  const found: Array<A> = []
  for (const branch of branches) for (const leaf of branch) for (const value of leaf.values()) found.push(value)
  return found
}

/** A map that is being made of another one, which stays as it is. */
export interface Draft<A> {
  readonly get: (name: string) => A | undefined
  readonly set: (name: string, value: A) => void
  readonly remove: (name: string) => void
  readonly size: () => number
  /** What was made; the draft is not used after it. */
  readonly done: () => PersistentMap<A>
}

/** For many changes at once: what is copied is copied once. */
export const draft = <A>(from: PersistentMap<A>): Draft<A> => {
  const branches: Array<Branch<A>> = [...from.branches]
  const ownBranches = new Map<number, Array<Leaf<A>>>()
  const ownLeaves = new Map<number, Map<string, A>>()
  let { size } = from

  const look = (hash: number): Leaf<A> => branches[branchOf(hash)]?.[leafOf(hash)] ?? bare
  /** The leaf of a hash, to be changed. */
  const open = (hash: number): Map<string, A> => {
    const place = hash & (WIDTH * WIDTH - 1)
    const own = ownLeaves.get(place)
    if (own !== undefined) return own
    const leaf = new Map(look(hash))
    ownLeaves.set(place, leaf)
    const at = branchOf(hash)
    const branch = ownBranches.get(at) ?? [...(branches[at] ?? bareBranch)]
    ownBranches.set(at, branch)
    branch[leafOf(hash)] = leaf
    branches[at] = branch
    return leaf
  }

  return {
    get: (name) => look(hashOf(name)).get(name),
    set: (name, value) => {
      const leaf = open(hashOf(name))
      size -= leaf.size
      leaf.set(name, value)
      size += leaf.size
    },
    remove: (name) => {
      const hash = hashOf(name)
      if (look(hash).has(name) && open(hash).delete(name)) size--
    },
    size: () => size,
    done: () => ({ size, branches })
  }
}

/** A map of what is given; of two values of one name, the later one counts. */
export const of = <A>(given: Iterable<readonly [string, A]>): PersistentMap<A> => {
  const made = draft<A>(empty)
  for (const [name, value] of given) made.set(name, value)
  return made.done()
}

/** With a value for a name. */
export const set = <A>(map: PersistentMap<A>, name: string, value: A): PersistentMap<A> => {
  const made = draft(map)
  made.set(name, value)
  return made.done()
}

/** Without a name. */
export const remove = <A>(map: PersistentMap<A>, name: string): PersistentMap<A> => {
  const made = draft(map)
  made.remove(name)
  return made.done()
}
