import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Control from "../../src/protocol/Control.ts"
import { LISTED_ITEMS } from "../../src/protocol/Limits.ts"

const deep = (levels: number) => "[".repeat(levels) + "]".repeat(levels)

describe("decode", () => {
  it("is total: a message nested deeply is malformed like another", () => {
    const malformed = Either.left({ _tag: "Malformed", type: "register" } as const)
    const text = `{"type":"register","machineName":${deep(20_000)}}`
    for (const decode of [Control.decode, Control.decodeFirst]) assert.deepStrictEqual(decode(text), malformed)
    const inEveryMember = Object.keys(Control.Register.fields)
      .filter((name) => !["type", "capabilities"].includes(name))
      .map((name) => `"${name}":${deep(1_000)}`)
    assert.deepStrictEqual(Control.decode(`{"type":"register",${inEveryMember.join()}}`), malformed)
  })

  it("takes lists of bounded length, null for none, and holds their items to what they should be", () => {
    const register = (more: object) => Control.decode(JSON.stringify({ type: "register", ...more }))
    for (const [member, item, wrong] of [
      ["ports", 22, "22"],
      ["tags", "lab", 1],
      ["services", { port: 22 }, { port: "22" }]
    ] as const) {
      const longest = Array.from({ length: LISTED_ITEMS }, () => item)
      assert.deepStrictEqual(register({ [member]: longest }), Either.right({ type: "register", [member]: longest }))
      assert.isTrue(Either.isLeft(register({ [member]: [...longest, item] })), member)
      assert.isTrue(Either.isLeft(register({ [member]: [wrong] })), member)
      assert.deepStrictEqual(register({ [member]: null }), Either.right({ type: "register" }))
    }
  })

  it("looks at nothing but the type of what may not come first", () => {
    const text = '{"type":"wg-pubkey","wgPubKey":7}'
    assert.deepStrictEqual(Control.decode(text), Either.left({ _tag: "Malformed", type: "wg-pubkey" }))
    assert.deepStrictEqual(Control.decodeFirst(text), Either.left({ _tag: "UnknownType", type: "wg-pubkey" }))
    assert.deepStrictEqual(Control.decodeFirst("[]"), Either.left({ _tag: "NotJson" }))
    assert.deepStrictEqual(
      Control.decodeFirst('{"type":"session-join"}\n'),
      Either.right({ type: "session-join" as const })
    )
  })
})

describe("MachineName", () => {
  it("is no name that every object has, and none that no address can hold", () => {
    const isName = Schema.is(Control.MachineName)
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) assert.isFalse(isName(name), name)
    for (const name of [".", ".."]) assert.isFalse(isName(name), name)
    for (const name of ["barn", "...", "a.b", "prototype", "Constructor", "__proto"]) assert.isTrue(isName(name), name)
  })
})
