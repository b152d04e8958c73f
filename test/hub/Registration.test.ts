/** What an agent may say of a machine, and who may say it: an agent that means no good, or is another than it was. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as Limits from "../../src/protocol/Limits.ts"
import type { Peer } from "./harness.ts"
import { agentOf, ask, connect, dial, get, register, startHub, statusOf } from "./harness.ts"

/** A deployed agent stops for good on either of these words. */
const stopWords = /access denied|invalid token/i

const refusedWith = (peer: Peer, text: RegExp) =>
  Effect.gen(function* () {
    const message = String((yield* peer.text)["message"])
    assert.match(message, text)
    assert.notMatch(message, stopWords)
    const { code, reason } = yield* peer.closed
    assert.deepStrictEqual([code, reason], [1008, message])
  })

const say = (hub: { readonly url: string }, message: object) =>
  Effect.tap(dial(hub), (peer) => Effect.sync(() => peer.say(message)))

const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)])

const long = "x".repeat(Limits.REGISTER_TEXT_CHARACTERS + 1)

const many = <A>(count: number, item: A) => Array.from({ length: count }, () => item)

describe("what a machine tells of itself", () => {
  it.scoped("is bounded: capabilities, texts and lists", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const tooMuch: ReadonlyArray<readonly [object, RegExp]> = [
        [{ capabilities: { padding: "p".repeat(Limits.CAPABILITIES_BYTES) } }, /capabilities may take at most 16384/],
        [{ capabilities: { padding: "é".repeat(Limits.CAPABILITIES_BYTES / 2) } }, /capabilities may take at most/],
        [{ capabilities: { nested: nested(Limits.CAPABILITIES_DEPTH) } }, /capabilities may nest 4 levels/],
        [{ capabilities: { nested: nested(3_000) } }, /capabilities may nest 4 levels/],
        ...[
          "agentId",
          "machineRegistrationId",
          "displayName",
          "hostname",
          "os",
          "agentVersion",
          "location",
          "owner"
        ].map((member) => [{ [member]: long }, new RegExp(`a text in ${member} has more than 256`)] as const),
        [{ tags: ["lab", long] }, /a text in tags/],
        [{ services: [{ port: 1, description: long }] }, /a text in services/],
        [{ services: many(Limits.REGISTER_SERVICES + 1, { port: 1 }) }, /at most 256 services/],
        [{ ports: many(Limits.REGISTER_SERVICES + 1, 1) }, /at most 256 services/],
        [{ tags: many(Limits.REGISTER_TAGS + 1, "lab") }, /at most 64 tags/],
        [{ services: many(200, { port: 1, description: "d".repeat(200) }) }, /at most 32768 bytes/]
      ]
      for (const [more, text] of tooMuch) yield* refusedWith(yield* say(hub, register(more)), text)
      assert.strictEqual((yield* hub.counts).machines, 0)
      const shares = [{ name: "docs", writable: true, blockedExtensions: [".exe"], allowedExtensions: [] }]
      const agent = yield* agentOf(hub, {
        capabilities: { management: true, shares },
        tags: many(Limits.REGISTER_TAGS, "lab"),
        services: many(Limits.REGISTER_SERVICES, { port: 22, name: "SSH" }),
        ports: many(Limits.REGISTER_SERVICES, 22)
      })
      const [machine] = (yield* statusOf(hub, "owner-token")).machines
      assert.deepStrictEqual(machine?.capabilities, { management: true, shares })
      const deepest = "[".repeat(30_000) + "]".repeat(30_000)
      agent.ws.send(JSON.stringify(register({ capabilities: { nested: "deepest" } })).replace('"deepest"', deepest))
      yield* refusedWith(agent, /capabilities may nest/)
      assert.strictEqual((yield* get(hub, "/api/status", "owner-token")).status, 200)
    })
  )

  it.scoped("is for no machine whose name every object has", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      for (const machineName of ["__proto__", "constructor", "toString", ".", ".."]) {
        yield* refusedWith(yield* say(hub, register({ machineName, token: "owner-token" })), /machineName/)
        const client = yield* say(hub, connect({ machineId: machineName, token: "owner-token" }))
        assert.strictEqual((yield* client.text)["message"], "Machine not found")
      }
    })
  )
})

describe("a machine whose agent is online", () => {
  const key = "1".repeat(64)
  const held = /already registered by another agent/

  it.scoped("goes to no other identity, whatever it knows of the agent", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub, { identity: key })
      for (const more of [{}, { identity: key }, { identity: "2".repeat(64) }]) {
        yield* refusedWith(yield* say(hub, register({ token: "rival-token", ...more })), held)
      }
      yield* ask(hub, agent)
      assert.strictEqual(agent.pending, 0)
    })
  )

  it.scoped("goes to nobody without the agent's key, once it has told one", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub, { identity: key })
      for (const identity of [undefined, "2".repeat(64)]) {
        yield* refusedWith(yield* say(hub, register({ identity })), held)
      }
      yield* agent.settled
      yield* agentOf(hub, { identity: key })
      assert.strictEqual((yield* agent.closed).code, 1006)
    })
  )

  it.scoped("is another's when that agent has left, and keeps nothing of the first", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub, { identity: key, location: "cellar" })
      const { client } = yield* ask(hub, agent)
      agent.ws.terminate()
      yield* client.closed
      yield* agentOf(hub, { token: "rival-token" })
      assert.isNull((yield* statusOf(hub, "owner-token")).machines[0]?.location)
    })
  )
})

describe("an agent that is no longer what it was", () => {
  it.scoped("holds nobody to services when it is older than the one before it", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub, { capabilities: { serviceGrants: true } })
      yield* ask(hub, agent, { token: "sshonly-token" })
      const older = yield* agentOf(hub, { capabilities: undefined })
      yield* agent.closed
      yield* refusedWith(yield* say(hub, connect({ token: "sshonly-token" })), /limited to some services/)
      yield* older.settled
      assert.strictEqual(older.pending, 0)
    })
  )

  it.scoped("is told when its right to register has expired, not to stop, and gets no new sessions", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub, { token: "seasonal-token" })
      yield* ask(hub, agent)
      yield* TestClock.adjust("6 seconds")
      yield* refusedWith(agent, /^registration revoked: the register grant of seasonal on barn has expired$/)
      yield* refusedWith(yield* say(hub, connect()), /^Machine not found$/)
    })
  )
})
