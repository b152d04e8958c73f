import { assert, describe, it } from "@effect/vitest"
import * as Names from "../../src/store/internal/names.ts"

const rename = (after: number, former: string, current: string): Names.Rename => ({ after, former, current })

describe("Names", () => {
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
