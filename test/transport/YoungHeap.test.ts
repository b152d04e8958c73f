import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { YOUNG_HEAP_USED } from "../../src/protocol/Limits.ts"
import { turn } from "../../src/transport/Slices.ts"
import * as YoungHeap from "../../src/transport/YoungHeap.ts"

const used = () =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_used_size ?? Number.NaN

/** Makes garbage until the young heap has more than enough of it. */
const litter = () => {
  for (let tries = 0; tries < 1_000 && used() < YOUNG_HEAP_USED; tries++) Array.from({ length: 1_000 }, () => tries)
  assert.isAtLeast(used(), YOUNG_HEAP_USED)
}

describe("YoungHeap", () => {
  it.live("is V8's own affair until a program asks for its collection, and where V8 does not let it", () =>
    Effect.gen(function* () {
      litter()
      assert.isFalse(YoungHeap.collectIfUsed())
      setFlagsFromString("--no-expose-gc")
      YoungHeap.collectApart()
      litter()
      assert.isFalse(YoungHeap.collectIfUsed())
      yield* turn
    })
  )

  it.live("is collected from then on, between two turns, when much of it is used", () =>
    Effect.gen(function* () {
      setFlagsFromString("--expose-gc")
      YoungHeap.collectApart()
      assert.isBelow(used(), YOUNG_HEAP_USED)
      assert.isFalse(YoungHeap.collectIfUsed())
      litter()
      assert.isTrue(YoungHeap.collectIfUsed())
      assert.isFalse(YoungHeap.collectIfUsed())

      litter()
      const seen: Array<string> = []
      const look = (who: string) => void seen.push(`${who}: ${used() >= YOUNG_HEAP_USED ? "much" : "little"}`)
      setImmediate(() => {
        look("others")
        setImmediate(look, "others")
      })
      yield* turn
      look("the work")
      // Others have a turn between the collection and the work.
      assert.deepStrictEqual(seen, ["others: much", "others: little", "the work: little"])
    })
  )
})
