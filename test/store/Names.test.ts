import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { AUDIT_NAMES } from "../../src/protocol/Limits.ts"
import * as Names from "../../src/store/internal/names.ts"

const rename = (after: number, former: string, current: string): Names.Rename => ({ after, former, current })

/** As simple as it can be: follows every rename, one after the other. */
const simple = (renames: ReadonlyArray<Names.Rename>) => ({
  now: (name: string, sequence: number): string | undefined => {
    let current = name
    for (const { after, current: to, former } of renames) if (after >= sequence && former === current) current = to
    return current === name ? undefined : current
  },
  spans: (name: string): ReadonlyArray<Names.Span> => {
    const spans: Array<Names.Span> = []
    let who = name
    let upTo = Names.NOW
    for (const { after, current, former } of renames.toReversed()) {
      if (former !== who && current !== who) continue
      spans.push({ name: who, after, upTo })
      if (current !== who) return spans
      who = former
      upTo = after
    }
    return [...spans, { name: who, after: 0, upTo }]
  }
})

const names = ["a", "b", "c", "d"]
const Step = FastCheck.record({
  later: FastCheck.nat(2),
  former: FastCheck.constantFrom(...names),
  current: FastCheck.constantFrom(...names)
}).filter(({ current, former }) => current !== former)

describe("Names", () => {
  it("finds what following every rename would find, also when it forgets what no event needs", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(Step, { maxLength: 40 }), FastCheck.nat(40), (steps, oldest) => {
        let after = 0
        const renames = steps.map(({ current, former, later }) => rename((after += later), former, current))
        const whole = Names.make(renames)
        const pruned = Names.make([])
        for (const [index, each] of renames.entries()) {
          pruned.add(each)
          if (index % 5 === 0) pruned.forget(Math.min(oldest, each.after))
        }
        pruned.forget(oldest)
        assert.strictEqual(pruned.size(), renames.filter((each) => each.after >= oldest).length)
        const expected = simple(renames)
        for (const name of names) {
          assert.deepStrictEqual(whole.spans(name), expected.spans(name))
          for (let sequence = 0; sequence <= after + 1; sequence++) {
            // Twice: the second time it knows the way.
            for (let times = 0; times < 2; times++) {
              assert.strictEqual(whole.now(name, sequence), expected.now(name, sequence))
              if (sequence >= oldest) assert.strictEqual(pruned.now(name, sequence), expected.now(name, sequence))
            }
          }
          // Of the events that there are, the same ones.
          const reaching = (spans: ReadonlyArray<Names.Span>) =>
            spans
              .map((span) => ({ ...span, after: Math.max(span.after, oldest - 1) }))
              .filter((span) => span.upTo > span.after)
          assert.deepStrictEqual(reaching(pruned.spans(name)), reaching(expected.spans(name)))
        }
      })
    )
  })

  it("goes back through a bounded number of names", () => {
    const many = Array.from({ length: 1_000 }, (_, n) => rename(n, `name-${n}`, `name-${n + 1}`))
    const spans = Names.make(many).spans("name-1000")
    assert.strictEqual(spans.length, AUDIT_NAMES)
    assert.deepStrictEqual(spans.at(-1)?.name, `name-${1_001 - AUDIT_NAMES}`)
  })

  it("says what somebody is called now, by when it was", () => {
    const names = Names.make([rename(10, "alice", "alicia"), rename(30, "alicia", "ali")])
    assert.strictEqual(names.now("alice", 10), "ali")
    assert.strictEqual(names.now("alicia", 20), "ali")
    // Another one has the name since.
    assert.isUndefined(names.now("alice", 11))
    assert.isUndefined(names.now("ali", 40))
    assert.isUndefined(names.now("bob", 1))
  })

  it("knows somebody who has the first name again as the same", () => {
    const names = Names.make([rename(10, "alice", "alicia"), rename(20, "alicia", "alice")])
    assert.isUndefined(names.now("alice", 5))
    assert.strictEqual(names.now("alicia", 15), "alice")
    assert.deepStrictEqual(names.spans("alice"), [
      { name: "alice", after: 20, upTo: Names.NOW },
      { name: "alicia", after: 10, upTo: 20 },
      { name: "alice", after: 0, upTo: 10 }
    ])
  })

  it("follows renames of one moment in their order", () => {
    // alice makes room for bob, in one change of many.
    const names = Names.make([rename(7, "alice", "alicia"), rename(7, "bob", "alice")])
    assert.strictEqual(names.now("alice", 7), "alicia")
    assert.strictEqual(names.now("bob", 7), "alice")
    assert.deepStrictEqual(names.spans("alice"), [
      { name: "alice", after: 7, upTo: Names.NOW },
      { name: "bob", after: 0, upTo: 7 }
    ])
    assert.deepStrictEqual(names.spans("alicia"), [
      { name: "alicia", after: 7, upTo: Names.NOW },
      { name: "alice", after: 0, upTo: 7 }
    ])
  })

  it("begins anew where a name was given away", () => {
    const names = Names.make([rename(10, "alice", "alicia")])
    assert.deepStrictEqual(names.spans("alice"), [{ name: "alice", after: 10, upTo: Names.NOW }])
    names.add(rename(20, "carol", "alice"))
    assert.deepStrictEqual(names.spans("alice"), [
      { name: "alice", after: 20, upTo: Names.NOW },
      { name: "carol", after: 0, upTo: 20 }
    ])
  })
})
