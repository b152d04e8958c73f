import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { identitiesOf, identityOf } from "../../../src/policy/Identity.ts"
import * as Codes from "../../../src/crypto/PairCode.ts"
import { StoreFailure } from "../../../src/store/IdentityStore.ts"
import { logLines } from "../../support/logLines.ts"
import { send, sendNow, start, START } from "./administered.ts"
import type { Administered } from "./administered.ts"

const WRONG =
  '{"error":"this pairing code is wrong, spent, expired or for another machine; check it, or ask for a new one"}\n'

const newCode = (hub: Administered, body: object, as = "adam") =>
  Effect.map(send(hub, "POST", "/api/admin/pair-code", { as, body }), ({ json, status, text }) => {
    assert.strictEqual(status, 200, text)
    return { code: String(json["code"]), id: String(json["id"]), json }
  })

/** At most ten times in a test: so many an address may try at once. */
const redeem = (hub: Administered, code: string, machineId?: string) =>
  sendNow(hub, "POST", "/api/pair", { body: { code, machineId } })

/** A code that is made behind the hub's back, where its lifetime has no bounds. */
const aboutCode = (hub: Administered) =>
  ({
    type: "connect",
    machines: ["barn"],
    role: "user",
    createdBy: "olga",
    createdWith: identityOf(hub.snapshot(), "olga")?.tokenHash ?? "",
    createdAt: START,
    expiresAt: START + 10_000
  }) as const

const machinesOf = (hub: Administered, token: unknown) =>
  Effect.map(
    send(hub, "GET", "/api/whoami", { headers: { authorization: `Bearer ${String(token)}` } }),
    ({ json }) => json["machines"]
  )

describe("a pairing code", () => {
  it.scoped("connects a person to the machines it names, once", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const { code, json } = yield* newCode(hub, { machineId: "barn" })
      assert.match(code, /^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/)
      assert.strictEqual(json["type"], "connect")
      assert.strictEqual(json["expiresAt"], "2027-02-01T12:00:01Z")
      assert.deepStrictEqual(json["machines"], ["barn"])
      // As people type it.
      const typed = code.toLowerCase().replace("-", " ").replaceAll("0", "o").replaceAll("1", "l")
      const redeemed = yield* redeem(hub, typed)
      assert.strictEqual(redeemed.status, 200)
      const { identity, token, type, ...more } = redeemed.json
      assert.deepStrictEqual(more, {})
      assert.strictEqual(type, "connect")
      assert.match(String(identity), /^paired-user-20270131-[a-z2-9]{4}$/)
      assert.match(String(token), /^[0-9a-f]{64}$/)
      assert.deepStrictEqual(yield* machinesOf(hub, token), [{ machineId: "barn", permissions: ["connect"] }])
      // Nobody else has lost anything.
      const alice = yield* send(hub, "GET", "/api/admin/access/alice", { as: "adam" })
      assert.deepStrictEqual(alice.json["machines"], [{ machineId: "barn", permissions: ["connect"] }])
      const before = hub.snapshot()
      assert.strictEqual((yield* redeem(hub, code)).text, WRONG)
      assert.strictEqual(hub.snapshot(), before)
    })
  )

  it.scoped("names every machine only when that is what was said", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const several = yield* newCode(hub, { machineId: "attic", machines: ["barn", "mill", "barn"], expiresIn: 600 })
      assert.deepStrictEqual(several.json["machines"], ["barn", "mill"])
      assert.strictEqual(several.json["expiresAt"], new Date(START + 601_000).toISOString().replace(".000", ""))
      const all = yield* newCode(hub, { machines: ["*"], expiresIn: "7d", role: "admin" })
      const { json } = yield* redeem(hub, all.code)
      assert.match(String(json["identity"]), /^paired-admin-/)
      assert.strictEqual(identityOf(hub.snapshot(), String(json["identity"]))?.role, "admin")
    })
  )

  it.scoped("registers an agent on its one machine, under a name of its own", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const register = { type: "register", machineId: "barn" }
      const first = yield* newCode(hub, register)
      const before = hub.snapshot()
      const elsewhere = yield* redeem(hub, first.code, "mill")
      assert.strictEqual(elsewhere.status, 401)
      assert.strictEqual(elsewhere.text, WRONG)
      assert.strictEqual(hub.snapshot(), before)
      const made = yield* redeem(hub, first.code, "barn")
      const { token, ...rest } = made.json
      assert.deepStrictEqual(rest, { identity: "barn-agent", type: "register", machine: "barn" })
      assert.deepStrictEqual(yield* machinesOf(hub, token), [{ machineId: "barn", permissions: ["register"] }])
      // The agent that was there before keeps its right.
      const agent = yield* send(hub, "GET", "/api/admin/access/agent", { as: "adam" })
      assert.deepStrictEqual(agent.json["machines"], [{ machineId: "barn", permissions: ["register"] }])
      const second = yield* newCode(hub, register)
      assert.strictEqual((yield* redeem(hub, second.code)).json["identity"], "barn-agent-2")
      const empty = yield* newCode(hub, register)
      assert.strictEqual((yield* redeem(hub, empty.code, "")).json["identity"], "barn-agent-3")
    })
  )

  it.scoped("of another type than was wanted is not spent", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      for (const [made, type, says] of [
        [
          { machineId: "barn" },
          "connect",
          /^\{"error":"this is a connect code, for a person: redeem it with tela pair/
        ],
        [{ type: "register", machineId: "barn" }, "register", /^\{"error":"this is a register code, for an agent: /]
      ] as const) {
        const { code } = yield* newCode(hub, made)
        const wanted = type === "connect" ? "register" : "connect"
        const other = yield* sendNow(hub, "POST", "/api/pair", { body: { code, type: wanted, machineId: "barn" } })
        assert.strictEqual(other.status, 409)
        assert.match(other.text, says)
        const good = yield* sendNow(hub, "POST", "/api/pair", { body: { code, type, machineId: "barn" } })
        assert.strictEqual(good.status, 200)
      }
    })
  )

  it.scoped("and others, redeemed at the same moment for the same machine, make as many agents", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const codes = yield* Effect.replicateEffect(newCode(hub, { type: "register", machineId: "barn" }), 8)
      const made = yield* Effect.forEach(codes, ({ code }) => redeem(hub, code), { concurrency: "unbounded" })
      const names = made.map(({ json }) => json["identity"]).toSorted()
      assert.deepStrictEqual(names, ["barn-agent", ...[2, 3, 4, 5, 6, 7, 8].map((nth) => `barn-agent-${nth}`)])
      assert.deepStrictEqual(yield* hub.codes.unsettled, [])
    })
  )

  it.scoped("is listed and cancelled, and worth nothing then or when it has expired", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const kept = yield* newCode(hub, { machineId: "barn", expiresIn: "10m" })
      const cancelled = yield* newCode(hub, { machineId: "mill" })
      const list = Effect.map(send(hub, "GET", "/api/admin/pair-code", { as: "adam" }), ({ json, text }) => {
        assert.notInclude(text, kept.code)
        return json["codes"]
      })
      const gone = yield* send(hub, "DELETE", `/api/admin/pair-code/${cancelled.id}`, { as: "adam" })
      assert.deepStrictEqual(gone.json, { status: "cancelled", id: cancelled.id })
      assert.strictEqual((yield* redeem(hub, cancelled.code)).text, WRONG)
      assert.deepStrictEqual(yield* list, [
        {
          id: kept.id,
          type: "connect",
          machines: ["barn"],
          role: "user",
          createdBy: "adam",
          createdAt: "2027-01-31T12:00:01Z",
          expiresAt: "2027-01-31T12:10:01Z"
        }
      ])
      const brief = Codes.generate()
      yield* hub.codes.add(brief, aboutCode(hub))
      yield* TestClock.setTime(START + 9_999)
      assert.strictEqual(yield* hub.codes.count(START + 9_999), 2)
      yield* TestClock.setTime(START + 10_000)
      assert.strictEqual((yield* redeem(hub, Codes.show(brief))).text, WRONG)
    })
  )

  const endings = [
    ["rotated", "POST", "/api/admin/rotate/adam", undefined],
    ["revoked", "POST", "/api/admin/tokens/adam/revoke", undefined],
    ["demoted", "PATCH", "/api/admin/access/adam", { role: "user" }],
    ["removed", "DELETE", "/api/admin/access/adam", undefined]
  ] as const

  it.scoped.each(endings)("is worth nothing once its maker was %s, and stays so", ([, method, path, body]) =>
    Effect.gen(function* () {
      const hub = yield* start()
      const { code } = yield* newCode(hub, { machineId: "barn" })
      const other = yield* newCode(hub, { machineId: "barn" }, "olga")
      yield* send(hub, method, path, { as: "olga", body })
      const listed = yield* send(hub, "GET", "/api/admin/pair-code", { as: "olga" })
      assert.deepStrictEqual([listed.json["codes"]].flat().length, 1)
      assert.strictEqual((yield* redeem(hub, code)).text, WRONG)
      yield* send(hub, "PATCH", "/api/admin/access/adam", { as: "olga", body: { role: "admin" } })
      assert.strictEqual((yield* redeem(hub, code)).text, WRONG)
      assert.strictEqual((yield* redeem(hub, other.code)).status, 200)
      const ended = (yield* hub.audit.list({ limit: 50 })).filter(({ action }) => action === "access-ended")
      assert.strictEqual(ended.length, 1)
    })
  )

  it.scoped("outlives a rename of its maker, and dies with their expiry", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const renamed = yield* newCode(hub, { machineId: "barn" })
      const late = yield* newCode(hub, { machineId: "barn" })
      yield* send(hub, "PATCH", "/api/admin/access/adam", { as: "olga", body: { id: "adamo", expiresAt: "20s" } })
      assert.strictEqual((yield* redeem(hub, renamed.code)).status, 200)
      yield* TestClock.adjust("20 seconds")
      const listed = yield* send(hub, "GET", "/api/admin/pair-code", { as: "olga" })
      assert.deepStrictEqual(listed.json["codes"], [])
      assert.strictEqual((yield* redeem(hub, late.code)).text, WRONG)
      // For good: what is lifted is the maker's expiry, not the code's end.
      yield* send(hub, "PATCH", "/api/admin/access/adamo", { as: "olga", body: { expiresAt: null } })
      assert.strictEqual((yield* send(hub, "GET", "/api/admin/pair-code", { as: "adam" })).status, 200)
      assert.strictEqual((yield* redeem(hub, late.code)).text, WRONG)
    })
  )

  it.scoped("for an owner is an owner's to make, and theirs alone while they are one", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      yield* send(hub, "POST", "/api/admin/tokens", { as: "olga", body: { id: "oscar", role: "owner" } })
      const { code } = yield* newCode(hub, { machines: ["*"], role: "owner" }, "olga")
      const demoted = yield* newCode(hub, { machines: ["*"], role: "owner" }, "olga")
      assert.strictEqual((yield* redeem(hub, code)).status, 200)
      yield* send(hub, "PATCH", "/api/admin/access/olga", { as: "olga", body: { role: "admin" } })
      assert.strictEqual((yield* redeem(hub, demoted.code)).text, WRONG)
    })
  )

  it.scoped("is given back when its identity could not be stored", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const { code } = yield* newCode(hub, { machineId: "barn" })
      hub.trouble.failure = new StoreFailure({ kind: "full", message: "no space is left" })
      const before = hub.snapshot()
      const full = yield* redeem(hub, code)
      assert.strictEqual(full.status, 507)
      assert.strictEqual(hub.snapshot(), before)
      hub.trouble.failure = undefined
      assert.strictEqual((yield* redeem(hub, code)).status, 200)
      assert.deepStrictEqual(yield* hub.codes.unsettled, [])
    })
  )

  it.scoped("is neither made nor spent nor cancelled where that cannot be stored", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const { code, id } = yield* newCode(hub, { machineId: "barn" })
      const before = hub.snapshot()
      hub.trouble.codes = new StoreFailure({ kind: "full", message: "no space is left; make room there" })
      for (const [method, path, body] of [
        ["POST", "/api/admin/pair-code", { machineId: "barn" }],
        ["DELETE", `/api/admin/pair-code/${id}`, undefined],
        ["POST", "/api/pair", { code }]
      ] as const) {
        const full = yield* send(hub, method, path, { as: "adam", body })
        assert.strictEqual(full.status, 507, path)
        assert.strictEqual(full.json["error"], "no space is left; make room there")
      }
      assert.strictEqual(hub.snapshot(), before)
      assert.strictEqual(yield* hub.codes.count(START), 1)
      hub.trouble.codes = undefined
      assert.strictEqual((yield* redeem(hub, code)).status, 200)
    })
  )

  it.scoped("can be had up to a number", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const about = { ...aboutCode(hub), expiresAt: START + 3_600_000 }
      yield* Effect.replicateEffect(
        Effect.suspend(() => hub.codes.add(Codes.generate(), about)),
        1_000
      )
      const refused = yield* send(hub, "POST", "/api/admin/pair-code", { as: "adam", body: { machineId: "barn" } })
      assert.strictEqual(refused.status, 409)
      assert.match(String(refused.json["error"]), /cancel one/)
    })
  )

  it.scoped("makes one identity of 100 redemptions at a time", () =>
    Effect.gen(function* () {
      const hub = yield* start({ trustedProxies: ["127.0.0.1"] })
      const { code } = yield* newCode(hub, { machineId: "barn" })
      const before = identitiesOf(hub.snapshot()).length
      const answers = yield* Effect.all(
        Array.from({ length: 100 }, (_, n) =>
          sendNow(hub, "POST", "/api/pair", { body: { code }, headers: { "x-forwarded-for": `192.0.2.${n}` } })
        ),
        { concurrency: "unbounded" }
      )
      const of = (status: number) => answers.filter((answer) => answer.status === status).length
      assert.deepStrictEqual([of(200), of(401), of(429)], [1, 9, 90])
      assert.strictEqual(identitiesOf(hub.snapshot()).length, before + 1)
    })
  )

  it.scoped("is in no log, record or refusal", () =>
    Effect.gen(function* () {
      const { layer, taken } = yield* logLines
      const told = yield* Effect.gen(function* () {
        const hub = yield* start()
        const { code } = yield* newCode(hub, { machineId: "barn" })
        const wrong = yield* redeem(hub, "WR0N-GC0D")
        const { json } = yield* redeem(hub, code)
        const spent = yield* redeem(hub, code)
        yield* TestClock.adjust("1 minute")
        const records = JSON.stringify(yield* hub.audit.list({ limit: 100 }))
        const secrets = [code, code.replace("-", ""), "WR0N", String(json["token"])]
        return { secrets, texts: [wrong.text, spent.text, records] }
      }).pipe(Effect.provide(layer))
      const texts = [...told.texts, ...(yield* taken)]
      for (const secret of told.secrets) for (const text of texts) assert.notInclude(text, secret)
    })
  )
})

describe("guessing", () => {
  it.scoped("is slow by address, by code and in all, and says when to try again", () =>
    Effect.gen(function* () {
      const hub = yield* start({ trustedProxies: ["127.0.0.1"] })
      const guess = (code: string, from: string) =>
        sendNow(hub, "POST", "/api/pair", { body: { code }, headers: { "x-forwarded-for": from } })
      const random = () => Codes.show(Codes.generate())
      for (let n = 0; n < 10; n++) assert.strictEqual((yield* guess(random(), "192.0.2.1")).status, 401)
      const throttled = yield* guess(random(), "192.0.2.1")
      assert.strictEqual(throttled.status, 429)
      assert.strictEqual(throttled.headers.get("retry-after"), "5")
      assert.match(throttled.text, /try again in 5 s/)
      // Nobody else waits for that.
      assert.strictEqual((yield* guess(random(), "192.0.2.2")).status, 401)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* guess(random(), "192.0.2.1")).status, 401)
      // One code from many addresses, in whatever spelling; and a /64 is one address.
      const statuses = yield* Effect.forEach(Array.from({ length: 11 }), (_, n) =>
        Effect.map(guess(n % 2 === 0 ? "00O0-I1L1" : "00001111", `198.51.100.${n}`), ({ status }) => status)
      )
      assert.deepStrictEqual(statuses, [...Array.from({ length: 10 }, () => 401), 429])
      for (let n = 0; n < 10; n++) yield* guess(random(), `2001:db8::${n}`)
      assert.strictEqual((yield* guess(random(), "2001:db8::ffff")).status, 429)
      let last = 0
      for (let n = 0; n < 120 && last !== 429; n++) last = (yield* guess(random(), `203.0.113.${n}`)).status
      assert.strictEqual(last, 429)
    })
  )

  it.scoped("leaves others something of all, however many networks a site has", () =>
    Effect.gen(function* () {
      const hub = yield* start({ trustedProxies: ["127.0.0.1"] })
      const guess = (from: string) =>
        Effect.map(
          sendNow(hub, "POST", "/api/pair", {
            body: { code: Codes.show(Codes.generate()) },
            headers: { "x-forwarded-for": from }
          }),
          ({ status }) => status
        )
      const statuses: Array<number> = []
      for (let n = 0; n < 120; n++) statuses.push(yield* guess(`2001:db8:7:${n.toString(16)}::1`))
      assert.strictEqual(statuses.lastIndexOf(401), 49)
      assert.strictEqual(statuses.indexOf(429), 50)
      assert.strictEqual(yield* guess("2001:db8:8::1"), 401)
      assert.strictEqual(yield* guess("192.0.2.1"), 401)
    })
  )

  it.scoped("is slow too when what is sent is no code, and says nothing in the log", () =>
    Effect.gen(function* () {
      const { layer, taken } = yield* logLines
      yield* Effect.gen(function* () {
        const hub = yield* start()
        const nested = "[".repeat(30_000) + "]".repeat(30_000)
        for (const body of ["{", `{"code":${nested}}`, nested, '{"code":5}', "{}", ""]) {
          const { headers, status, text } = yield* sendNow(hub, "POST", "/api/pair", { body })
          assert.strictEqual(status, 400, text)
          assert.strictEqual(headers.get("content-type"), "application/json")
        }
        const more = yield* Effect.replicateEffect(sendNow(hub, "POST", "/api/pair", { body: "{" }), 6)
        assert.deepStrictEqual(
          more.map(({ status }) => status),
          [400, 400, 400, 400, 429, 429]
        )
        const deep = `{"id":"carol","x":${nested}}`
        const { json } = yield* sendNow(hub, "POST", "/api/admin/tokens", { as: "olga", body: deep })
        assert.match(String(json["error"]), /may nest 8 levels deep/)
      }).pipe(Effect.provide(layer))
      const failures = (yield* taken).filter((line) => line.includes("request failed"))
      assert.deepStrictEqual(failures, [])
    })
  )

  const guesses = process.env["TELA_LONG"] === "1" ? 10_000 : 1_000

  it.scoped(
    "is one line a minute, whatever the number",
    () =>
      Effect.gen(function* () {
        const { layer, taken } = yield* logLines
        yield* Effect.gen(function* () {
          const hub = yield* start()
          const guess = sendNow(hub, "POST", "/api/pair", { body: { code: Codes.show(Codes.generate()) } })
          for (let minute = 0; minute < 2; minute++) {
            for (let n = 0; n < guesses / 200; n++) {
              yield* Effect.replicateEffect(guess, 100, { concurrency: 5 })
            }
            yield* TestClock.adjust("1 minute")
          }
          assert.strictEqual(identitiesOf(hub.snapshot()).length, 8)
        }).pipe(Effect.provide(layer))
        const told = (yield* taken).filter((line) => line.includes("pairing code"))
        assert.strictEqual(told.length, 2)
        const counted = told.map((line) => [...line.matchAll(/\d+/g)].map(([number]) => Number(number)))
        assert.strictEqual(
          counted.reduce((sum, [wrong = 0, throttled = 0]) => sum + wrong + throttled, 0),
          guesses
        )
      }),
    180_000
  )
})

describe("a hub that stopped while it redeemed a code", () => {
  it.scoped("says so at its next start, and the code stays spent", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const secret = Codes.generate()
      const code = yield* hub.codes.add(secret, aboutCode(hub))
      yield* hub.codes.spend(code.id, "paired-user-x", START)
      yield* hub.startAgain
      const [last] = yield* hub.audit.list({ limit: 1 })
      assert.strictEqual(last?.action, "recovered")
      assert.strictEqual(last?.target, "paired-user-x")
      assert.deepStrictEqual(yield* hub.codes.unsettled, [])
      assert.strictEqual((yield* redeem(hub, Redacted.value(secret))).text, WRONG)
    })
  )
})
