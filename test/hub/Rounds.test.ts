import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Rounds from "../../src/hub/internal/rounds.ts"
import { turn } from "../support/turn.ts"

describe("rounds of work", () => {
  const recorded = (slice: number) => {
    const done: Array<string> = []
    const take = Rounds.make(slice)
    const give = (key: string, count: number) =>
      take(
        key,
        Array.from({ length: count }, (_, i) => () => void done.push(`${key}${i}`))
      )
    return { done, give }
  }

  it.effect("do a slice a turn, one piece of each in its turn, the last first", () =>
    Effect.gen(function* () {
      const { done, give } = recorded(3)
      give("a", 3)
      give("b", 1)
      give("c", 2)
      assert.deepStrictEqual(done, [])
      yield* turn
      assert.deepStrictEqual(done, ["a2", "b0", "c1"])
      yield* turn
      assert.deepStrictEqual(done.slice(3), ["a1", "c0", "a0"])
      give("c", 1)
      yield* turn
      assert.deepStrictEqual(done.slice(6), ["c0"])
    })
  )

  it.effect("hold no more of anybody than what came last", () =>
    Effect.gen(function* () {
      const { done, give } = recorded(2)
      for (let i = 0; i < 100; i++) give("a", 50)
      give("b", 1)
      yield* turn
      assert.deepStrictEqual(done, ["a49", "b0"])
      give("a", 1)
      yield* turn
      yield* turn
      assert.deepStrictEqual(done.slice(2), ["a0"])
      give("a", 0)
      yield* turn
      assert.strictEqual(done.length, 3)
    })
  )
})
