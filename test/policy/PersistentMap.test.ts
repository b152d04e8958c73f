import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as PersistentMap from "../../src/policy/PersistentMap.ts"

/** Few names, so that they meet; and some with one beginning and one end, as machines of one domain have. */
const Name = FastCheck.oneof(
  FastCheck.constantFrom("", "a", "b", "*", "__proto__", "constructor"),
  FastCheck.integer({ min: 0, max: 200 }).map((n) => `web-${n}.example.org`)
)
const Step = FastCheck.record({ name: Name, value: FastCheck.option(FastCheck.nat(), { nil: undefined }) })
const Steps = FastCheck.array(Step, { maxLength: 300 })

const sorted = (entries: Iterable<readonly [string, number]>) => [...entries].toSorted(([a], [b]) => (a < b ? -1 : 1))

describe("PersistentMap", () => {
  it.prop("says what Node's map says, and what was made before stays as it was", [Steps], ([steps]) => {
    const model = new Map<string, number>()
    let map: PersistentMap.PersistentMap<number> = PersistentMap.empty
    const made: Array<{ readonly map: typeof map; readonly entries: ReadonlyArray<readonly [string, number]> }> = []
    for (const { name, value } of steps) {
      made.push({ map, entries: [...PersistentMap.entries(map)] })
      if (value === undefined) model.delete(name)
      else model.set(name, value)
      map = value === undefined ? PersistentMap.remove(map, name) : PersistentMap.set(map, name, value)
      assert.strictEqual(map.size, model.size)
      assert.strictEqual(PersistentMap.get(map, name), value)
    }
    assert.deepStrictEqual(sorted(PersistentMap.entries(map)), sorted(model))
    assert.sameMembers([...PersistentMap.values(map)], [...model.values()])
    for (const each of made) assert.deepStrictEqual([...PersistentMap.entries(each.map)], each.entries)
  })

  it.prop("makes the same of many changes at once as of one after the other", [Steps, Steps], ([first, then]) => {
    const given = first.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value] as const]))
    const from = PersistentMap.of(given)
    assert.deepStrictEqual(sorted(PersistentMap.entries(from)), sorted(new Map(given)))
    const before = [...PersistentMap.entries(from)]
    const draft = PersistentMap.draft(from)
    let map = from
    for (const { name, value } of then) {
      if (value === undefined) draft.remove(name)
      else draft.set(name, value)
      map = value === undefined ? PersistentMap.remove(map, name) : PersistentMap.set(map, name, value)
      assert.strictEqual(draft.get(name), value)
      assert.strictEqual(draft.size(), map.size)
    }
    const made = draft.done()
    assert.deepStrictEqual(sorted(PersistentMap.entries(made)), sorted(PersistentMap.entries(map)))
    assert.strictEqual(made.size, map.size)
    assert.deepStrictEqual([...PersistentMap.entries(from)], before)
  })

  it("spreads names that differ in a few characters", () => {
    const map = PersistentMap.of(Array.from({ length: 10_000 }, (_, n) => [`web-${n}.prod.example.org`, n] as const))
    const largest = Math.max(...map.branches.flatMap((branch) => branch.map(({ size }) => size)))
    // 9.8 in the mean.
    assert.isBelow(largest, 40)
  })
})
