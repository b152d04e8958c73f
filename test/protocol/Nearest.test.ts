import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { didYouMean, distance, nearest } from "../../src/protocol/Nearest.ts"

const Word = Schema.String.pipe(Schema.maxLength(12))

describe("Nearest", () => {
  it.each([
    ["mashine", "machine"],
    ["hbu", "hub"],
    ["PORTS", "ports"],
    ["serv", "services"],
    ["xyzzy", undefined],
    ["", undefined]
  ])("%s means %s", (word, meant) => {
    assert.strictEqual(nearest(word, ["hub", "machine", "ports", "services"]), meant)
  })

  it("ends a sentence", () => {
    assert.strictEqual(didYouMean("prots", ["ports"]), `; did you mean "ports"?`)
    assert.strictEqual(didYouMean("prots", ["hub"]), "")
  })

  it.prop("distance is symmetric, zero for equals only, and bounded by the longer word", [Word, Word], ([a, b]) => {
    const cost = distance(a, b)
    assert.strictEqual(cost, distance(b, a))
    assert.strictEqual(cost === 0, a === b)
    assert.isAtMost(cost, Math.max(a.length, b.length))
  })
})
