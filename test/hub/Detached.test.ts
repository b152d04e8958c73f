/**
 * Sessions that are over while their link may wait at the agent: what ends the right to them reaches the agent on its
 * control socket, whether it is there, away, or of a hub that knows nothing of them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Offer from "../../src/agent/Offer.ts"
import { generate } from "../../src/crypto/KeyPair.ts"
import { hashOf } from "../../src/crypto/Token.ts"
import * as Detached from "../../src/hub/Detached.ts"
import { Change } from "../../src/policy/Change.ts"
import { encode } from "../../src/protocol/Control.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { fresh } from "../../src/store/AgentState.ts"
import { type IdentityStore, layerMemory } from "../../src/store/IdentityStore.ts"
import { machine } from "../support/ends.ts"
import type { Peer } from "./harness.ts"
import { agentOf, dial, identity, initial, register, session, startHub } from "./harness.ts"

type TestHub = Effect.Effect.Success<ReturnType<typeof startHub>>

const resuming = { capabilities: { serviceGrants: true, resumes: true } }
const kept = (token: string) => ({ tokenHash: hashOf(Redacted.make(token)), prefix: "" })

/** A session whose client is lost, so that its link waits at the agent. */
const detached = (hub: TestHub, agent: Peer, more: object = {}) =>
  Effect.gen(function* () {
    const up = yield* session(hub, agent, { resumes: true, ...more })
    up.client.ws.terminate()
    assert.deepStrictEqual(yield* up.joined.text, { type: "session-end" })
    yield* up.joined.closed
    return up.sessionId
  })

const wantsRevoked = (agent: Peer, sessionId: string, principal: string, reason: RegExp) =>
  Effect.gen(function* () {
    const { reason: said, ...rest } = yield* agent.text
    assert.deepStrictEqual(rest, { type: "session-revoked", sessionId, principal })
    assert.match(String(said), reason)
  })

/** The hub has nothing more to say to a peer. */
const saysNothing = (peer: Peer) =>
  Effect.gen(function* () {
    yield* peer.settled
    assert.strictEqual(peer.pending, 0)
  })

const lost = (hub: TestHub, agent: Peer) =>
  Effect.gen(function* () {
    agent.ws.terminate()
    while ((yield* hub.counts).machines > 0) yield* Effect.promise(() => new Promise(setImmediate))
  })

describe("a link that waits for its client", () => {
  const ways: ReadonlyArray<
    readonly [name: string, reason: RegExp, end: (hub: TestHub) => Effect.Effect<unknown, unknown>]
  > = [
    ["its token is revoked", /was revoked/, (hub) => hub.change(Change.Revoke({ id: "alice" }))],
    ["its identity is removed", /no longer an identity/, (hub) => hub.change(Change.Remove({ id: "alice" }))],
    ["its token is rotated", /was replaced/, (hub) => hub.change(Change.Rotate({ id: "alice", token: kept("new") }))],
    [
      "its grant is removed",
      /has no connect grant/,
      (hub) => hub.change(Change.RevokeMachine({ id: "alice", machine: "barn" }))
    ],
    [
      "its expiry passes",
      /token of alice has expired/,
      (hub) => Effect.zipRight(hub.change(Change.Update({ id: "alice", expiresAt: 3_000 })), TestClock.adjust(3_000))
    ]
  ]
  for (const [name, reason, end] of ways) {
    it.scoped(`may not go on when ${name}: its agent is told, and nothing of others`, () =>
      Effect.gen(function* () {
        const hub = yield* startHub()
        const agent = yield* agentOf(hub, resuming)
        const sessionId = yield* detached(hub, agent)
        yield* detached(hub, agent, { token: "bob-token" })
        yield* end(hub)
        yield* wantsRevoked(agent, sessionId, "alice", reason)
        yield* saysNothing(agent)
        // It is over for good: what gives the right back gives it to sessions to come.
        yield* hub.change(Change.Grant({ id: "bob", machine: "barn", permissions: ["connect"], services: ["ssh"] }))
        assert.deepInclude(yield* agent.text, { type: "session-update", services: ["ssh"] })
        yield* saysNothing(agent)
      })
    )
  }

  it.scoped("is renamed with its identity", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub, resuming)
      const sessionId = yield* detached(hub, agent)
      yield* hub.change(Change.Update({ id: "alice", rename: "alicia" }))
      assert.deepInclude(yield* agent.text, { type: "session-update", sessionId, principal: "alicia" })
      yield* saysNothing(agent)
      yield* hub.change(Change.RevokeMachine({ id: "alicia", machine: "barn" }))
      yield* wantsRevoked(agent, sessionId, "alicia", /alicia has no connect grant on barn/)
    })
  )

  it.scoped("whose agent is away is told of when that is back, whatever has come after", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const first = yield* agentOf(hub, resuming)
      const ofAlice = yield* detached(hub, first)
      const ofBob = yield* detached(hub, first, { token: "bob-token" })
      yield* lost(hub, first)
      yield* hub.change(Change.RevokeMachine({ id: "alice", machine: "barn" }))
      yield* hub.change(Change.Grant({ id: "alice", machine: "barn", permissions: ["connect"] }))
      yield* hub.change(Change.Grant({ id: "bob", machine: "barn", permissions: ["connect"], services: ["ssh"] }))
      yield* hub.change(Change.Grant({ id: "bob", machine: "mill", permissions: ["connect"] }))
      const named = [
        { sessionId: ofAlice, principal: "alice" },
        { sessionId: ofBob, principal: "bob" }
      ]
      const agent = yield* agentOf(hub, { ...resuming, detached: named })
      yield* wantsRevoked(agent, ofAlice, "alice", /alice has no connect grant/)
      const { revision, ...update } = yield* agent.text
      assert.deepStrictEqual(update, { type: "session-update", sessionId: ofBob, services: ["ssh"] })
      assert.strictEqual(revision, hub.authority.snapshot().revision)
      yield* saysNothing(agent)
      // What was told on a socket that is lost may not have come.
      const again = yield* agentOf(hub, { ...resuming, detached: named.slice(1) })
      assert.deepStrictEqual(yield* again.text, { ...update, revision })
      const silent = yield* agentOf(hub, resuming)
      yield* saysNothing(silent)
    })
  )

  it.scoped("is told of by its new name when an agent comes that has not heard of it", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const first = yield* agentOf(hub, resuming)
      const sessionId = yield* detached(hub, first)
      yield* lost(hub, first)
      yield* hub.change(Change.Update({ id: "alice", rename: "alicia" }))
      const agent = yield* agentOf(hub, { ...resuming, detached: [{ sessionId, principal: "alice" }] })
      assert.deepInclude(yield* agent.text, { type: "session-update", sessionId, principal: "alicia" })
      yield* saysNothing(agent)
    })
  )

  it.scoped("is told of as it is now to an agent that names it while it is up", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const first = yield* agentOf(hub, resuming)
      const { sessionId } = yield* session(hub, first, { resumes: true })
      yield* lost(hub, first)
      yield* hub.change(Change.Update({ id: "alice", rename: "alicia" }))
      yield* hub.change(Change.Grant({ id: "alicia", machine: "barn", permissions: ["connect"], services: ["ssh"] }))
      const agent = yield* agentOf(hub, { ...resuming, detached: [{ sessionId, principal: "alice" }] })
      const { revision, ...update } = yield* agent.text
      assert.deepStrictEqual(update, { type: "session-update", sessionId, services: ["ssh"], principal: "alicia" })
      assert.strictEqual(revision, hub.authority.snapshot().revision)
      yield* saysNothing(agent)
      // Nor is it another machine's.
      const mill = yield* agentOf(hub, {
        ...resuming,
        machineName: "mill",
        detached: [{ sessionId, principal: "alice" }]
      })
      yield* saysNothing(mill)
    })
  )

  it.scoped("holds nobody up, however many an agent names, and is named once a socket", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const barn = yield* agentOf(hub, resuming)
      const { sessionId } = yield* session(hub, barn, { resumes: true, token: "bob-token" })
      const ofMill = { ...resuming, machineName: "mill" }
      const named = Array.from({ length: 200 }, (_, i) => ({
        sessionId: `00000000${i.toString(16).padStart(44, "0")}`,
        principal: "alice"
      }))
      for (let i = 0; i < 30; i++) yield* agentOf(hub, { ...ofMill, detached: named })
      const asked = yield* agentOf(hub, { ...ofMill, detached: named })
      const before = performance.now()
      yield* hub.change(Change.Revoke({ id: "bob" }))
      yield* wantsRevoked(barn, sessionId, "bob", /was revoked/)
      assert.isBelow(performance.now() - before, 500)
      for (const link of named.toReversed()) {
        const { reason, ...rest } = yield* asked.text
        assert.match(String(reason), /may not connect/)
        assert.deepStrictEqual(rest, { type: "session-revoked", ...link })
      }
      asked.say(register({ ...ofMill, detached: named }))
      assert.deepInclude(yield* asked.text, { type: "registered" })
      yield* saysNothing(asked)
    })
  )

  it.scoped("is none of another agent that takes the machine", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const first = yield* agentOf(hub, resuming)
      yield* detached(hub, first)
      yield* lost(hub, first)
      yield* hub.change(Change.Revoke({ id: "alice" }))
      const other = yield* agentOf(hub, { ...resuming, token: "rival-token" })
      yield* saysNothing(other)
    })
  )

  it.scoped("is told of again when the control socket on which it was told is lost", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const first = yield* agentOf(hub, resuming)
      const up = yield* session(hub, first, { resumes: true })
      first.ws.pause()
      yield* hub.change(Change.Revoke({ id: "alice" }))
      yield* up.joined.text
      const agent = yield* agentOf(hub, resuming)
      yield* wantsRevoked(agent, up.sessionId, "alice", /was revoked/)
      yield* saysNothing(agent)
    })
  )
})

describe("a link that an agent names to a hub that knows nothing of it", () => {
  /** A link of alice on a hub that has stopped since, and how to start the next one. */
  const restarted = Effect.gen(function* () {
    const store = yield* Layer.build(layerMemory(initial))
    const layer = Layer.succeedContext(store)
    const start = startHub({}, { identities: layer satisfies Layer.Layer<IdentityStore> })
    const scope = yield* Scope.make()
    const sessionId = yield* Effect.gen(function* () {
      const hub = yield* start
      return yield* detached(hub, yield* agentOf(hub, resuming))
    }).pipe(Scope.extend(scope))
    yield* Scope.close(scope, Exit.void)
    const hub = yield* start
    const returns = (...named: ReadonlyArray<object>) => agentOf(hub, { ...resuming, detached: named })
    return { hub, returns, sessionId, link: { sessionId, principal: "alice" } }
  })

  it.scoped("goes on when its identity may connect, and ends with that", () =>
    Effect.gen(function* () {
      const { hub, link, returns, sessionId } = yield* restarted
      const agent = yield* returns(link)
      assert.deepStrictEqual(yield* agent.text, { type: "session-update", sessionId, revision: 7 })
      yield* hub.change(Change.Grant({ id: "alice", machine: "barn", permissions: ["connect"], services: ["ssh"] }))
      assert.deepInclude(yield* agent.text, { type: "session-update", sessionId, services: ["ssh"] })
      yield* hub.change(Change.Revoke({ id: "alice" }))
      yield* wantsRevoked(agent, sessionId, "alice", /was revoked/)
    })
  )

  const gone: ReadonlyArray<readonly [how: string, changes: ReadonlyArray<Change>]> = [
    ["has lost the right", [Change.RevokeMachine({ id: "alice", machine: "barn" })]],
    ["has another token", [Change.Rotate({ id: "alice", token: kept("new") })]],
    ["is gone", [Change.Remove({ id: "alice" })]],
    [
      "is gone, and another of its name is there",
      [
        Change.Remove({ id: "alice" }),
        Change.Add({ id: "alice", role: "user", token: kept("another"), grants: [] }),
        Change.Grant({ id: "alice", machine: "barn", permissions: ["connect"] })
      ]
    ]
  ]
  for (const [how, changes] of gone) {
    it.scoped(`is over when its identity ${how}`, () =>
      Effect.gen(function* () {
        const { hub, link, returns, sessionId } = yield* restarted
        for (const change of changes) yield* hub.change(change)
        const agent = yield* returns(link)
        yield* wantsRevoked(agent, sessionId, "alice", /may not connect to this machine, or has another token/)
      })
    )
  }

  it.scoped("is over when it names somebody else, or no session that a hub could have made", () =>
    Effect.gen(function* () {
      const { returns, sessionId } = yield* restarted
      const made = sessionId.slice(0, 8)
      const named = [
        { sessionId, principal: "bob" },
        { sessionId: `${made}${"0".repeat(44)}`, principal: "alice" },
        { sessionId: "", principal: "alice" },
        { sessionId: sessionId.slice(1), principal: "alice" },
        { sessionId: "x".repeat(500), principal: "nobody-at-all" }
      ]
      const agent = yield* returns(...named)
      for (const each of named.toReversed())
        yield* wantsRevoked(agent, each.sessionId, each.principal, /may not connect/)
      yield* saysNothing(agent)
    })
  )

  it.scoped("is not touched by what an agent says of a session that is up, or another machine's", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub, resuming)
      const { sessionId } = yield* session(hub, agent, { resumes: true })
      const over = yield* detached(hub, agent, { token: "bob-token" })
      const named = [
        { sessionId, principal: "alice" },
        { sessionId: over, principal: "bob" }
      ]
      const other = yield* agentOf(hub, { ...resuming, machineName: "mill", detached: named })
      yield* saysNothing(other)
      yield* hub.change(Change.Revoke({ id: "bob" }))
      yield* wantsRevoked(agent, over, "bob", /was revoked/)
      yield* saysNothing(other)
    })
  )

  it.scoped("is one of LISTED_ITEMS at most", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* dial(hub)
      agent.say(register({ detached: Array.from({ length: Limits.LISTED_ITEMS + 1 }, () => ({})) }))
      assert.strictEqual((yield* agent.closed).code, 1002)
    })
  )

  it("is left out by an agent whose first message has no room for it", () => {
    const links = Array.from({ length: Limits.LISTED_ITEMS }, (_, index) => ({
      sessionId: `${index}`.padStart(52, "0"),
      principal: "x".repeat(128)
    }))
    const said = Offer.register(machine(), generate(), fresh(["barn"]), links, { resumes: true })
    const named = said.detached ?? []
    assert.deepStrictEqual(named, links.slice(0, named.length))
    assert.isAtLeast(named.length, 100)
    const room = Limits.UNAUTHENTICATED_MESSAGE_BYTES - Limits.REGISTER_BYTES
    assert.isAtMost(Buffer.byteLength(encode(said)), room)
  })
})

describe("what a hub remembers of sessions that are over", () => {
  const make = () => {
    const clock = { now: 0 }
    return { clock, detached: Detached.make(() => clock.now) }
  }
  const one = (id: string, principal = "alice", on = "barn"): Detached.DetachedSession => ({
    id,
    machine: on,
    principal: identity(principal),
    services: undefined
  })

  it("ends after RESUME_REMEMBERED, whatever has changed of it", () => {
    const { clock, detached } = make()
    detached.add(one("a"))
    clock.now = 1
    detached.add(one("b", "bob"))
    detached.amend("a", { revoked: "why not" })
    assert.strictEqual(detached.find("a")?.revoked, "why not")
    clock.now = Limits.RESUME_REMEMBERED
    detached.expire()
    assert.isUndefined(detached.find("a"))
    assert.isDefined(detached.find("b"))
    assert.deepStrictEqual([...detached.tokens()], [identity("bob").tokenHash])
    clock.now++
    detached.expire()
    assert.deepStrictEqual([detached.size(), detached.ofMachine("barn").length], [0, 0])
  })

  it("is no more than DETACHED_PER_IDENTITY of one identity on one machine, and takes nobody else's place", () => {
    const { detached } = make()
    detached.add(one("of bob", "bob"))
    for (let i = 0; i <= Limits.DETACHED_PER_IDENTITY; i++) detached.add(one(`${i}`))
    assert.isUndefined(detached.find("0"))
    assert.isDefined(detached.find("1"))
    assert.isDefined(detached.find("of bob"))
    assert.strictEqual(detached.ofToken(identity("alice").tokenHash).length, Limits.DETACHED_PER_IDENTITY)
  })

  it("is no more than DETACHED_PER_MACHINE of one machine", () => {
    const { detached } = make()
    detached.add(one("on mill", "alice", "mill"))
    for (let i = 0; i <= Limits.DETACHED_PER_MACHINE; i++) detached.add(one(`${i}`, `user${i}`))
    assert.isUndefined(detached.find("0"))
    assert.isDefined(detached.find("on mill"))
    assert.strictEqual(detached.ofMachine("barn").length, Limits.DETACHED_PER_MACHINE)
  })

  it("is no more than DETACHED_SESSIONS in all; the oldest goes first", () => {
    const { detached } = make()
    for (let i = 0; i <= Limits.DETACHED_SESSIONS; i++) detached.add(one(`${i}`, "alice", `m${i}`))
    assert.strictEqual(detached.size(), Limits.DETACHED_SESSIONS)
    assert.isUndefined(detached.find("0"))
    detached.add(one("1", "alice", "m1"))
    detached.add(one("one more"))
    assert.isDefined(detached.find("1"))
    assert.isUndefined(detached.find("2"))
  })
})
