import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ENDING_SLICE } from "../../src/protocol/Limits.ts"
import * as Slices from "../../src/transport/Slices.ts"
import { turn } from "../support/turn.ts"

/** The end of this turn of the event loop. */
const endOfTurn = Effect.promise(() => Promise.resolve())

describe("Slices", () => {
  it.live("does a few pieces at the end of the turn, and as many in each of the next, in order", () =>
    Effect.gen(function* () {
      const later = Slices.make()
      const done: Array<number> = []
      const count = 3 * ENDING_SLICE + 1
      for (let i = 0; i < count; i++) later(() => done.push(i))
      assert.deepStrictEqual(done, [])
      yield* endOfTurn
      assert.strictEqual(done.length, ENDING_SLICE)
      let turns = 0
      for (let before = done.length; done.length < count; before = done.length) {
        yield* turn
        turns++
        assert.isAtMost(done.length - before, ENDING_SLICE)
      }
      assert.isAtLeast(turns, 3)
      assert.deepStrictEqual(done, [...Array(count).keys()])
    })
  )

  it.live("does what comes meanwhile after what waits, and no more in a turn for coming bit by bit", () =>
    Effect.gen(function* () {
      const later = Slices.make()
      const done: Array<string> = []
      later(() => {
        done.push("first")
        later(() => done.push("third"))
      })
      later(() => done.push("second"))
      yield* endOfTurn
      assert.deepStrictEqual(done, ["first", "second", "third"])
      for (let i = 0; i < 2 * ENDING_SLICE; i++) {
        later(() => done.push("more"))
        yield* endOfTurn
      }
      assert.isAtMost(done.length, ENDING_SLICE)
      while (done.length < 3 + 2 * ENDING_SLICE) yield* turn
    })
  )
})
