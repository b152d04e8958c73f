import * as Crypto from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import { hashOf } from "../../src/crypto/Token.ts"
import * as SessionId from "../../src/hub/internal/sessionId.ts"

const hub = () => SessionId.make("0a0b0c0d", Redacted.make<Uint8Array>(Crypto.randomBytes(32)))
const tokenHash = hashOf(Redacted.make("a token"))
const other = hashOf(Redacted.make("another token"))

describe("an id of a session", () => {
  it("tells its hub whether it was asked for with a token", () => {
    const ids = hub()
    const id = ids.next(tokenHash)
    assert.match(id, /^0a0b0c0d[0-9a-f]{44}$/)
    assert.notStrictEqual(id, ids.next(tokenHash))
    assert.isTrue(ids.isOf(id, tokenHash))
    assert.isFalse(ids.isOf(id, other))
  })

  it("tells nobody else: who knows the token cannot see it in the id", () => {
    const id = hub().next(tokenHash)
    assert.isFalse(hub().isOf(id, tokenHash))
  })

  it("is none when it is cut, longer, or only its mark", () => {
    const ids = hub()
    const id = ids.next(tokenHash)
    for (const text of [id.slice(1), `0${id}`, id.slice(-12), "", id.toUpperCase()]) {
      assert.isFalse(ids.isOf(text, tokenHash), text)
    }
  })
})
