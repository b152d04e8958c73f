import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Redacted from "effect/Redacted"
import * as Token from "../../src/crypto/Token.ts"

const shown = (text: string) => Token.kept(Redacted.make(text)).prefix

describe("Token", () => {
  it("shows the first eight characters of an ordinary token", () => {
    const token = Token.generate()
    assert.strictEqual(Token.prefixOf(token), Redacted.value(token).slice(0, 8))
  })

  it.each([
    ["", ""],
    ["o", ""],
    ["hunter2", ""],
    ["hunter22", "h"],
    ["correct-horse-battery-staple", "cor"],
    ["0123456789abcdef0123456789abcdef", "0123"],
    ["x".repeat(63), "x".repeat(7)],
    ["x".repeat(64), "x".repeat(8)],
    ["x".repeat(500), "x".repeat(8)]
  ])("of %j it shows %j", (token, expected) => {
    assert.strictEqual(shown(token), expected)
  })

  it("never shows more than an eighth of a token, nor more than eight characters", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.string({ maxLength: 100 }), (text) => {
        assert.isTrue(text.startsWith(shown(text)))
        assert.isAtMost(8 * shown(text).length, text.length)
        assert.isAtMost(shown(text).length, Token.PREFIX_CHARS)
      })
    )
  })
})
