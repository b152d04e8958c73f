import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Admission from "../../src/agent/Admission.ts"
import { fingerprintOfHex, generate } from "../../src/crypto/KeyPair.ts"
import type { SessionClient } from "../../src/protocol/Control.ts"
import { isNamed } from "../../src/protocol/Service.ts"
import { machine, service } from "../support/ends.ts"

const key = generate().publicHex
const other = generate().publicHex
const vouched = (over: Partial<SessionClient> = {}): SessionClient => ({
  key,
  principal: "alice",
  revision: 1,
  ...over
})
const barn = machine({ services: [service(22), service(5432, "db"), service(80, "web")] })
const ports = (result: Either.Either<Admission.Admitted, string>) =>
  Either.getOrThrow(result).services.map((each) => each.port)

describe("Admission", () => {
  it("serves whom the hub vouches for, and nobody else's key", () => {
    const admitted = Either.getOrThrow(Admission.admit(barn, vouched(), key))
    assert.strictEqual(admitted.principal, "alice")
    assert.strictEqual(admitted.services.length, 3)
    assert.match(Either.getOrThrow(Either.flip(Admission.admit(barn, vouched(), other))), /but the client has SHA256:/)
    const keyless: SessionClient = { principal: "alice", revision: 1 }
    assert.match(Either.getOrThrow(Either.flip(Admission.admit(barn, keyless, key))), /with no key/)
  })

  it("serves anybody through a hub that vouches for nobody, unless it has a list", () => {
    assert.isUndefined(Either.getOrThrow(Admission.admit(barn, undefined, key)).principal)
    const listed = { ...barn, clients: [{ key, name: "kim", services: undefined }] }
    assert.strictEqual(Either.getOrThrow(Admission.admit(listed, undefined, key)).listedAs, "kim")
    assert.match(Either.getOrThrow(Either.flip(Admission.admit(listed, undefined, other))), /is not among the clients/)
    assert.isTrue(Either.isLeft(Admission.admit(listed, vouched({ key: other }), other)))
    assert.isTrue(Either.isLeft(Admission.admit({ ...barn, clients: [] }, vouched(), key)))
  })

  it("knows a listed client by fingerprint too", () => {
    const listed = { ...barn, clients: [{ key: fingerprintOfHex(key), name: "kim", services: undefined }] }
    assert.isTrue(Either.isRight(Admission.admit(listed, vouched(), key)))
  })

  it("lets a session use what both the hub and the list name", () => {
    assert.deepStrictEqual(
      ports(Admission.admit(barn, vouched({ services: ["DB", "80", "nothing"] }), key)),
      [5432, 80]
    )
    assert.deepStrictEqual(ports(Admission.admit(barn, vouched({ services: [] }), key)), [])
    const listed = { ...barn, clients: [{ key, name: "kim", services: ["web", "ssh"] }] }
    assert.deepStrictEqual(ports(Admission.admit(listed, vouched({ services: ["db", "web"] }), key)), [80])
    assert.deepStrictEqual(ports(Admission.admit(listed, undefined, key)), [22, 80])
  })

  it("resolves ports and names, and says why not", () => {
    const services = [service(22), service(5432, "db")]
    assert.strictEqual(Either.getOrThrow(Admission.resolve(barn, services, { port: 22 })).port, 22)
    assert.strictEqual(Either.getOrThrow(Admission.resolve(barn, services, { service: "ssh" })).port, 22)
    assert.strictEqual(Either.getOrThrow(Admission.resolve(barn, services, { service: "5432" })).port, 5432)
    const why = (target: Parameters<typeof Admission.resolve>[2]) =>
      Either.getOrThrow(Either.flip(Admission.resolve(barn, services, target)))
    assert.strictEqual(why({ port: 80 }), "this session may not use web (port 80)")
    assert.strictEqual(why({ service: "web" }), "this session may not use web (port 80)")
    assert.strictEqual(why({ port: 81 }), `"barn" does not expose port 81`)
    assert.strictEqual(why({ service: "x" }), `"barn" does not expose service "x"`)
  })

  const Names = Schema.UndefinedOr(Schema.Array(Schema.Literal("ssh", "22", "db", "5432", "web", "80", "none")))
  it.prop("never gives more than either names", [Names, Names], ([hub, own]) => {
    const listed = { ...barn, clients: [{ key, name: "", services: own }] }
    const client = hub === undefined ? vouched() : vouched({ services: hub })
    for (const given of Either.getOrThrow(Admission.admit(listed, client, key)).services) {
      for (const names of [hub, own]) assert.isTrue(names === undefined || names.some((name) => isNamed(given, name)))
    }
  })
})
