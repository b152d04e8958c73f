import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Aead from "../../src/crypto/Aead.ts"
import { fromSecret, generate } from "../../src/crypto/KeyPair.ts"
import * as Noise from "../../src/crypto/Noise.ts"

const Vectors = Schema.parseJson(
  Schema.Struct({
    vectors: Schema.Array(
      Schema.Struct({
        source: Schema.String,
        init_prologue: Schema.String,
        init_static: Schema.String,
        init_ephemeral: Schema.String,
        init_remote_static: Schema.String,
        resp_static: Schema.String,
        resp_ephemeral: Schema.String,
        handshake_hash: Schema.optional(Schema.String),
        messages: Schema.Array(Schema.Struct({ payload: Schema.String, ciphertext: Schema.String }))
      })
    )
  })
)

const { vectors } = Schema.decodeSync(Vectors)(
  readFileSync(new URL("../vectors/noise-ik.json", import.meta.url), "utf8")
)

const bytes = (hex: string) => Buffer.from(hex, "hex")
const hex = (data: Uint8Array) => Buffer.from(data).toString("hex")
const nothing = new Uint8Array(0)

const seal = (cipher: Noise.Transport["send"], plaintext: Uint8Array) => {
  const out = Buffer.alloc(plaintext.length + Aead.TAG_BYTES)
  cipher.seal(nothing, [plaintext], out, 0)
  return out
}

describe("Noise IK", () => {
  for (const aead of [Aead.openssl, Aead.noble]) {
    for (const vector of vectors) {
      it(`matches the ${vector.source} vector by ${aead === Aead.openssl ? "OpenSSL" : "noble"}`, () => {
        const prologue = bytes(vector.init_prologue)
        const [one, two, ...rest] = vector.messages
        assert(one !== undefined && two !== undefined && rest.length > 0)
        const initiator = Noise.initiate(
          {
            prologue,
            identity: fromSecret(bytes(vector.init_static)),
            ephemeral: fromSecret(bytes(vector.init_ephemeral)),
            aead
          },
          bytes(vector.init_remote_static),
          bytes(one.payload)
        )
        assert.strictEqual(hex(initiator.first), one.ciphertext)

        const responder = Noise.respond(
          {
            prologue,
            identity: fromSecret(bytes(vector.resp_static)),
            ephemeral: fromSecret(bytes(vector.resp_ephemeral)),
            aead
          },
          initiator.first
        )
        assert.strictEqual(hex(responder.payload), one.payload)
        assert.strictEqual(hex(responder.initiator), fromSecret(bytes(vector.init_static)).publicHex)

        const answer = responder.answer(bytes(two.payload))
        assert.strictEqual(hex(answer.second), two.ciphertext)
        const finished = initiator.finish(answer.second)
        assert.strictEqual(hex(finished.payload), two.payload)
        if (vector.handshake_hash !== undefined) assert.strictEqual(hex(finished.transport.hash), vector.handshake_hash)
        assert.strictEqual(hex(finished.transport.hash), hex(answer.transport.hash))

        rest.forEach((message, index) => {
          const [from, to] =
            index % 2 === 0 ? [finished.transport, answer.transport] : [answer.transport, finished.transport]
          const sealed = seal(from.send, bytes(message.payload))
          assert.strictEqual(hex(sealed), message.ciphertext)
          assert.strictEqual(hex(to.receive.open(nothing, sealed) ?? nothing), message.payload)
        })
      })
    }
  }

  const us = generate()
  const them = generate()
  const prologue = Buffer.from("p")
  const hello = Buffer.from("hello")

  it("refuses a flipped bit anywhere in either message", () => {
    const first = Noise.initiate({ prologue, identity: us }, them.publicKey, hello).first
    for (let at = 0; at < first.length; at++) {
      const bad = Buffer.from(first)
      bad[at] = (bad[at] ?? 0) ^ 1
      // The top bit of an X25519 key is ignored by both sides (RFC 7748), but hashed by both, so it is refused as well.
      assert.throws(() => Noise.respond({ prologue, identity: them }, bad), Noise.NoiseError)
    }
    const responder = Noise.respond({ prologue, identity: them }, first)
    assert.strictEqual(hex(responder.payload), hex(hello))
    const { second } = responder.answer(hello)
    for (let at = 0; at < second.length; at++) {
      const initiator = Noise.initiate({ prologue, identity: us }, them.publicKey, hello)
      const bad = Buffer.from(Noise.respond({ prologue, identity: them }, initiator.first).answer(hello).second)
      bad[at] = (bad[at] ?? 0) ^ 0x80
      assert.throws(() => initiator.finish(bad), Noise.NoiseError)
    }
  })

  it("refuses another prologue, another responder, a cut message and a key of small order", () => {
    const first = Noise.initiate({ prologue, identity: us }, them.publicKey, hello).first
    assert.throws(() => Noise.respond({ prologue: Buffer.from("q"), identity: them }, first), Noise.NoiseError)
    assert.throws(() => Noise.respond({ prologue, identity: generate() }, first), Noise.NoiseError)
    for (const length of [0, 31, 32, 79, 80, first.length - 1]) {
      assert.throws(() => Noise.respond({ prologue, identity: them }, first.subarray(0, length)), Noise.NoiseError)
    }
    const zeros = Buffer.concat([Buffer.alloc(32), first.subarray(32)])
    assert.throws(() => Noise.respond({ prologue, identity: them }, zeros), Noise.NoiseError)
  })
})
