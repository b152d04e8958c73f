import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Aead from "../../src/crypto/Aead.ts"
import { CipherState, rekey } from "../../src/crypto/CipherState.ts"

const bytes = (hex: string) => Buffer.from(hex.replace(/\s/g, ""), "hex")

/** RFC 8439, section 2.8.2. */
const rfc = {
  key: bytes("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
  nonce: bytes("070000004041424344454647"),
  associated: bytes("50515253c0c1c2c3c4c5c6c7"),
  plaintext: Buffer.from(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
  ),
  sealed: bytes(`
    d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6
    3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36
    92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
    3ff4def08e4b7a9de576d26586cec64b6116 1ae10b594f09e26a7e902ecbd0600691`)
}

const seal = (
  aead: Aead.Aead,
  key: Uint8Array,
  nonce: Uint8Array,
  associated: Uint8Array,
  parts: Array<Uint8Array>
) => {
  const size = parts.reduce((sum, part) => sum + part.length, 0)
  const out = Buffer.alloc(3 + size + Aead.TAG_BYTES)
  assert.strictEqual(aead.seal(key, nonce, associated, parts, out, 3), out.length)
  return out.subarray(3)
}

describe("Aead", () => {
  for (const [name, aead] of [
    ["OpenSSL", Aead.openssl],
    ["noble", Aead.noble]
  ] as const) {
    it(`${name} matches RFC 8439 section 2.8.2, whole and in parts`, () => {
      const { key, nonce, associated, plaintext, sealed } = rfc
      assert.deepStrictEqual(seal(aead, key, nonce, associated, [plaintext]), sealed)
      const parts = [plaintext.subarray(0, 1), plaintext.subarray(1, 70), plaintext.subarray(70)]
      assert.deepStrictEqual(seal(aead, key, nonce, associated, parts), sealed)
      assert.deepStrictEqual(Buffer.from(aead.open(key, nonce, associated, sealed) ?? []), plaintext)
    })

    it(`${name} opens nothing that was changed`, () => {
      const { key, nonce, associated, sealed } = rfc
      for (let at = 0; at < sealed.length; at++) {
        const bad = Buffer.from(sealed)
        bad[at] = (bad[at] ?? 0) ^ 4
        assert.isUndefined(aead.open(key, nonce, associated, bad))
      }
      assert.isUndefined(aead.open(key, nonce, Buffer.from("other"), sealed))
      assert.isUndefined(aead.open(key, nonce, associated, sealed.subarray(1)))
      assert.isUndefined(aead.open(key, nonce, associated, sealed.subarray(0, 15)))
    })
  }

  it("is the same from both implementations", () => {
    const sized = (length: number) => FastCheck.uint8Array({ minLength: length, maxLength: length })
    const parts = FastCheck.array(FastCheck.uint8Array({ maxLength: 300 }), { maxLength: 5 })
    FastCheck.assert(
      FastCheck.property(
        sized(32),
        sized(12),
        FastCheck.uint8Array({ maxLength: 40 }),
        parts,
        (key, nonce, ad, data) => {
          const one = seal(Aead.openssl, key, nonce, ad, data)
          assert.deepStrictEqual(seal(Aead.noble, key, nonce, ad, data), one)
          assert.deepStrictEqual(Buffer.from(Aead.noble.open(key, nonce, ad, one) ?? []), Buffer.concat(data))
        }
      )
    )
  })
})

describe("CipherState", () => {
  const key = Buffer.alloc(32, 9)
  const type = Buffer.of(0x83)
  const record = (cipher: CipherState, text: string) => {
    const out = Buffer.alloc(Buffer.byteLength(text) + Aead.TAG_BYTES)
    cipher.seal(type, [Buffer.from(text)], out, 0)
    return out
  }

  it("counts, so that a repeated, dropped or reordered record does not open", () => {
    const sender = new CipherState(key)
    const [one, two, three] = ["one", "two", "three"].map((text) => record(sender, text))
    const receiver = new CipherState(key)
    assert(one && two && three)
    assert.isUndefined(receiver.open(type, two))
    assert.isDefined(receiver.open(type, one))
    assert.isUndefined(receiver.open(type, one))
    assert.isUndefined(receiver.open(type, three))
    assert.isDefined(receiver.open(type, two))
    assert.isUndefined(receiver.open(Buffer.of(0x81), three))
  })

  it("rekeys on both sides after the same record, the counter running on", () => {
    const sender = new CipherState(key, Aead.native, 4)
    const receiver = new CipherState(key, Aead.native, 4)
    const same = new CipherState(key, Aead.native, 1_000)
    for (let count = 0; count < 4; count++) {
      const sealed = record(sender, "same")
      assert.deepStrictEqual(record(same, "same"), sealed)
      assert.isDefined(receiver.open(type, sealed))
    }
    const after = record(sender, "same")
    assert.notDeepEqual(record(same, "same"), after)
    assert.isDefined(receiver.open(type, after))
    // Record 4 is sealed under REKEY(key) with nonce 4.
    const out = Buffer.alloc(4 + Aead.TAG_BYTES)
    const nonce = Buffer.alloc(12)
    nonce.writeUInt32LE(4, 4)
    Aead.openssl.seal(rekey(Aead.noble, key), nonce, type, [Buffer.from("same")], out, 0)
    assert.deepStrictEqual(out, after)
  })
})
