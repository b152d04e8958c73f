import { assert, describe, it } from "@effect/vitest"
import * as RateLimit from "../../src/hub/RateLimit.ts"

const taken = (limit: RateLimit.RateLimit, key: string, times: number, now: number): number =>
  Array.from({ length: times }, () => limit.take(key, now)).filter((wait) => wait === 0).length

describe("RateLimit", () => {
  it("lets a burst through, then so many a second", () => {
    const limit = RateLimit.make({ perSecond: 5, burst: 30 })
    assert.strictEqual(taken(limit, "a", 100, 0), 30)
    assert.strictEqual(taken(limit, "a", 100, 1_000), 5)
    assert.strictEqual(taken(limit, "a", 100, 11_000), 30)
  })

  it("says how long to wait, exactly", () => {
    const limit = RateLimit.make({ perSecond: 0.2, burst: 2 })
    assert.deepStrictEqual([limit.take("a", 0), limit.take("a", 0), limit.take("a", 0)], [0, 0, 5_000])
    assert.strictEqual(limit.take("a", 4_999), 1)
    assert.strictEqual(limit.take("a", 5_000), 0)
    assert.strictEqual(limit.take("a", 5_000), 5_000)
  })

  it("takes nothing for what it refuses", () => {
    const limit = RateLimit.make({ perSecond: 1, burst: 1 })
    assert.strictEqual(taken(limit, "a", 1_000, 0), 1)
    assert.strictEqual(limit.take("a", 1_000), 0)
  })

  it("keeps keys apart, and forgets the one that asked longest ago", () => {
    const limit = RateLimit.make({ perSecond: 1, burst: 1 }, 2)
    assert.strictEqual(limit.take("a", 0), 0)
    assert.strictEqual(limit.take("b", 0), 0)
    assert.isAbove(limit.take("a", 0), 0)
    assert.strictEqual(limit.take("c", 0), 0)
    assert.isAbove(limit.take("a", 0), 0)
    assert.strictEqual(limit.take("b", 0), 0)
  })

  it("does not mind a clock that was set back", () => {
    const limit = RateLimit.make({ perSecond: 1, burst: 1 })
    assert.strictEqual(limit.take("a", 1_000), 0)
    assert.strictEqual(limit.take("a", 0), 2_000)
    assert.strictEqual(limit.take("a", 2_000), 0)
  })
})
