/**
 * How access ends, seen by deployed peers: for each way, a session that is up, one that waits for its agent, and a
 * registration. What ends is told why, new attempts are refused from the same instant, and neighbours go on.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { apply, Change } from "../../src/policy/Change.ts"
import { identityOf } from "../../src/policy/Identity.ts"
import type { Snapshot } from "../../src/policy/Identity.ts"
import { EXPIRY_HOLD, HUB_FILE_POLL } from "../../src/protocol/Limits.ts"
import { defaults } from "../../src/store/HubLimits.ts"
import { IdentityStore } from "../../src/store/IdentityStore.ts"
import type { TakenIn } from "../../src/store/IdentityStore.ts"
import { turn } from "../support/turn.ts"
import type { Peer } from "./harness.ts"
import { agentOf, ask, connect, dial, frame, initial, register, session, startHub, statusOf } from "./harness.ts"

type TestHub = Effect.Effect.Success<ReturnType<typeof startHub>>

/** A deployed agent stops for good on either of these words. */
const stopWords = /access denied|invalid token/i

const newToken = { tokenHash: "f".repeat(64), prefix: "ffffffff" }

/** A store whose file a person can edit. */
const edited = () => {
  let snapshot: Snapshot = initial
  let unseen = false
  const take = (): TakenIn => {
    const changes = unseen ? [{ id: "somebody", how: "hand" as const, text: "edited by hand" }] : []
    unseen = false
    return { snapshot, changes }
  }
  return {
    layer: Layer.succeed(IdentityStore, {
      current: () => snapshot,
      limits: () => defaults,
      update: (_takenIn, edit) =>
        Effect.sync(() => {
          const made = edit(snapshot)
          snapshot = made.snapshot
          return made.result
        }),
      refresh: Effect.sync(take)
    }),
    edit: (change: Change) => {
      const applied = apply(snapshot, change, { by: "owner", now: 0 })
      assert(applied._tag === "Right")
      snapshot = applied.right.snapshot
      unseen = true
    }
  }
}

/** A way in which what an identity may do on barn ends. */
interface Way {
  readonly name: string
  readonly rule: RegExp
  readonly end: (hub: TestHub, id: string, store: ReturnType<typeof edited>) => Effect.Effect<unknown, unknown>
}

const by = (name: string, rule: RegExp, change: (id: string) => Change): Way => ({
  name,
  rule,
  end: (hub, id) => hub.change(change(id))
})

/** An expiry that is set, and then passes. */
const passing = (name: string, rule: RegExp, change: (id: string, expiresAt: number) => Change): Way => ({
  name,
  rule,
  end: (hub, id) =>
    Effect.gen(function* () {
      yield* hub.change(change(id, 3_000))
      yield* TestClock.adjust(2_999)
      const identity = hub.authority.snapshot()
      assert.isTrue(identity.revision > 7)
      assert.strictEqual((yield* hub.counts).machines, 1)
      yield* TestClock.adjust(1)
    })
})

const ways = (permission: "connect" | "register"): ReadonlyArray<Way> => [
  by("its token is revoked", /was revoked/, (id) => Change.Revoke({ id })),
  by("its identity is removed", /no longer an identity/, (id) => Change.Remove({ id })),
  by("its token is rotated", /was replaced/, (id) => Change.Rotate({ id, token: newToken })),
  by("its grant is removed", /has no .* grant on barn/, (id) => Change.RevokeMachine({ id, machine: "barn" })),
  by("its grant is replaced by another", /has no .* grant on barn/, (id) =>
    Change.Grant({ id, machine: "barn", permissions: ["manage"] })
  ),
  by("it is made to expire", /has expired/, (id) => Change.Update({ id, expiresAt: 0 })),
  passing("its expiry passes", /token of .* has expired/, (id, expiresAt) => Change.Update({ id, expiresAt })),
  passing("the expiry of its grant passes", /grant of .* has expired/, (id, expiresAt) =>
    Change.Grant({ id, machine: "barn", permissions: [permission], expiresAt })
  ),
  {
    name: "its line is edited by hand",
    rule: /was revoked/,
    end: (_hub, id, store) =>
      Effect.zipRight(
        Effect.sync(() => store.edit(Change.Revoke({ id }))),
        TestClock.adjust(HUB_FILE_POLL)
      )
  }
]

const start = Effect.gen(function* () {
  const store = edited()
  const hub = yield* startHub({}, { identities: store.layer })
  return { hub, store }
})

/** Frames pass between the two ends of a session, both ways. */
const stillFlows = ({ client, joined }: { readonly client: Peer; readonly joined: Peer }) =>
  Effect.gen(function* () {
    for (const [from, to] of [
      [client, joined],
      [joined, client]
    ] as const) {
      from.frame(frame(Buffer.from("still here")))
      assert.strictEqual((yield* to.binary).subarray(7).toString(), "still here")
    }
  })

const wantsRevoked = (client: Peer, rule: RegExp) =>
  Effect.gen(function* () {
    const { message, type } = yield* client.text
    assert.strictEqual(type, "error")
    assert.match(String(message), /^access revoked: invalid token: /)
    assert.match(String(message), rule)
    const { code, reason } = yield* client.closed
    assert.deepStrictEqual([code, reason], [1008, message])
  })

describe("a client's access", () => {
  for (const { end, name, rule } of ways("connect")) {
    it.scoped(`ends when ${name}: sessions up and coming up, and no new one`, () =>
      Effect.gen(function* () {
        const { hub, store } = yield* start
        const agent = yield* agentOf(hub, { capabilities: { serviceGrants: true } })
        const up = yield* session(hub, agent)
        const pending = yield* ask(hub, agent)
        const neighbour = yield* session(hub, agent, { token: "bob-token" })
        yield* end(hub, "alice", store)

        const late = yield* dial(hub)
        late.say(connect())
        assert.match(String((yield* late.text)["message"]), /^Access denied/)
        yield* wantsRevoked(up.client, rule)
        yield* wantsRevoked(pending.client, rule)
        assert.deepStrictEqual(yield* up.joined.text, { type: "session-end" })
        const ended = yield* up.joined.closed
        assert.strictEqual(ended.code, 1008)
        assert.match(ended.reason, rule)
        assert.notMatch(ended.reason, stopWords)
        for (const { sessionId } of [up, pending]) {
          const revoked = yield* agent.text
          assert.deepInclude(revoked, { type: "session-revoked", sessionId, principal: "alice" })
          assert.match(String(revoked["reason"]), rule)
        }
        const join = yield* dial(hub)
        join.say({ type: "session-join", machineId: "barn", sessionId: pending.sessionId })
        assert.strictEqual((yield* join.text)["message"], "Session not found")
        yield* stillFlows(neighbour)
        yield* agent.settled
        assert.strictEqual(agent.pending, 0)
        assert.strictEqual((yield* hub.counts).sessions, 1)
        const events = yield* hub.audit.list({ limit: 100 })
        // A later identity may be called so, and this is not about that one.
        const gone = identityOf(hub.authority.snapshot(), "alice") === undefined
        const endings = events.filter(({ action }) => action === "access-ended")
        assert.deepStrictEqual(
          endings.map(({ machine, outcome, target }) => [machine, target, outcome]),
          [
            ["barn", gone ? "alice (removed)" : "alice", "ok"],
            ["barn", gone ? "alice (removed)" : "alice", "ok"]
          ]
        )
        for (const { why } of endings) assert.match(why ?? "", rule)
      })
    )
  }

  it.scoped("ends with the role that gave it", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const agent = yield* agentOf(hub)
      const { client } = yield* session(hub, agent, { token: "deputy-token" })
      yield* hub.change(Change.Update({ id: "deputy", role: "user" }))
      yield* wantsRevoked(client, /deputy has no connect grant on barn/)
    })
  )

  it.scoped("outlives a rename, another grant, and changes of others", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const agent = yield* agentOf(hub)
      const up = yield* session(hub, agent)
      yield* hub.change(Change.Update({ id: "alice", rename: "alicia" }))
      yield* hub.change(Change.Grant({ id: "alicia", machine: "mill", permissions: ["connect"] }))
      yield* hub.change(Change.Remove({ id: "bob" }))
      yield* stillFlows(up)
      yield* hub.change(Change.RevokeMachine({ id: "alicia", machine: "barn" }))
      yield* wantsRevoked(up.client, /alicia has no connect grant on barn/)
    })
  )

  it.scoped("is not ended by a grant that expires when another one stands", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const up = yield* session(hub, yield* agentOf(hub))
      yield* hub.change(Change.Grant({ id: "alice", machine: "*", permissions: ["connect"], expiresAt: 3_000 }))
      yield* TestClock.adjust(3_000 - EXPIRY_HOLD)
      yield* stillFlows(up)
      yield* TestClock.adjust(EXPIRY_HOLD)
      yield* stillFlows(up)
    })
  )

  it.scoped("passes nothing from shortly before its expiry, and goes on when that is put off", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const { client, joined } = yield* session(hub, yield* agentOf(hub))
      const until = (expiresAt: number) => hub.change(Change.Update({ id: "alice", expiresAt }))
      yield* until(3_000)
      yield* TestClock.adjust(3_000 - EXPIRY_HOLD - 1)
      yield* stillFlows({ client, joined })
      yield* TestClock.adjust(1)
      client.frame(frame(Buffer.from("held")))
      const arrived = yield* Effect.fork(joined.binary)
      for (let i = 0; i < 50; i++) yield* turn
      assert.isNull(arrived.unsafePoll())
      yield* until(9_000)
      assert.strictEqual((yield* arrived).subarray(7).toString(), "held")
      yield* TestClock.adjust(3_000)
      yield* stillFlows({ client, joined })
    })
  )
})

describe("services of a grant that changes", () => {
  const only = (services: ReadonlyArray<string> | undefined, expiresAt?: number) =>
    Change.Grant({
      id: "alice",
      machine: "barn",
      permissions: ["connect"],
      ...(services !== undefined && { services }),
      ...(expiresAt !== undefined && { expiresAt })
    })

  it.scoped("are told to an agent that holds sessions to them, fewer or more", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const agent = yield* agentOf(hub, { capabilities: { serviceGrants: true } })
      const up = yield* session(hub, agent)
      const { sessionId } = up
      yield* hub.change(only(["ssh"]))
      const update = { type: "session-update", sessionId }
      assert.deepStrictEqual(yield* agent.text, { ...update, services: ["ssh"], revision: 8 })
      yield* hub.change(only(["postgres", "ssh"]))
      assert.deepStrictEqual(yield* agent.text, { ...update, services: ["postgres", "ssh"], revision: 9 })
      yield* hub.change(only(["ssh", "postgres"]))
      yield* hub.change(only(undefined))
      assert.deepStrictEqual(yield* agent.text, { ...update, revision: 11 })
      yield* stillFlows(up)
    })
  )

  it.scoped("are told when one of several grants expires", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      yield* hub.change(only(["ssh"], 3_000))
      yield* hub.change(Change.Grant({ id: "alice", machine: "*", permissions: ["connect"], services: ["rdp"] }))
      const agent = yield* agentOf(hub, { capabilities: { serviceGrants: true } })
      const { request, sessionId } = yield* session(hub, agent)
      assert.deepInclude(request["client"], { services: ["ssh", "rdp"] })
      yield* TestClock.adjust(3_000)
      assert.deepInclude(yield* agent.text, { type: "session-update", sessionId, services: ["rdp"] })
    })
  )

  it.scoped("end the session when the agent is too old to hold it to them", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const agent = yield* agentOf(hub)
      const { client } = yield* session(hub, agent)
      yield* hub.change(only(["ssh"]))
      yield* wantsRevoked(client, /limited to some services/)
      yield* agent.settled
      assert.strictEqual(agent.pending, 0)
    })
  )
})

describe("a registration", () => {
  for (const { end, name, rule } of ways("register")) {
    it.scoped(`ends when ${name}; its machine is offline and its sessions are over`, () =>
      Effect.gen(function* () {
        const { hub, store } = yield* start
        const agent = yield* agentOf(hub)
        const up = yield* session(hub, agent)
        const pending = yield* ask(hub, agent)
        yield* end(hub, "agent", store)

        const { message } = yield* agent.text
        assert.match(String(message), /^registration revoked: /)
        assert.match(String(message), rule)
        assert.notMatch(String(message), stopWords)
        const { code, reason } = yield* agent.closed
        assert.deepStrictEqual([code, reason], [1008, message])
        for (const { client } of [up, pending]) {
          const closed = yield* client.closed
          assert.deepStrictEqual([closed.code, closed.reason], [1001, "agent disconnected"])
        }
        assert.strictEqual((yield* up.joined.closed).code, 1008)
        assert.isFalse((yield* statusOf(hub, "owner-token")).machines[0]?.agentConnected)
        assert.deepStrictEqual([(yield* hub.counts).machines, (yield* hub.counts).sessions], [0, 0])

        // A deployed agent tries again at once, and must not be told to stop.
        const again = yield* dial(hub)
        again.say(register())
        const told = String((yield* again.text)["message"])
        assert.match(told, /^registration revoked: |the hub does not know this token/)
        assert.notMatch(told, stopWords)
        const late = yield* dial(hub)
        late.say(connect())
        assert.strictEqual((yield* late.text)["message"], "Machine not found")
      })
    )
  }

  it.scoped("that was never there is denied in the words that stop a deployed agent", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const agent = yield* dial(hub)
      agent.say(register({ token: "alice-token" }))
      assert.strictEqual((yield* agent.text)["message"], "Access denied")
    })
  )

  it.scoped("that has ended is not renewed by what its socket still says", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const agent = yield* agentOf(hub)
      yield* hub.change(Change.RevokeMachine({ id: "agent", machine: "barn" }))
      yield* hub.change(Change.Grant({ id: "agent", machine: "barn", permissions: ["register"] }))
      agent.say(register({ location: "attic" }))
      assert.match(String((yield* agent.text)["message"]), /^registration revoked: /)
      assert.strictEqual((yield* agent.closed).code, 1008)
      assert.isFalse((yield* statusOf(hub, "owner-token")).machines[0]?.agentConnected)
    })
  )

  it.scoped("keeps its machine through rotation and rename of its identity", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const key = "1".repeat(64)
      const agent = yield* agentOf(hub, { identity: key, location: "cellar" })
      yield* hub.change(Change.Update({ id: "agent", rename: "barn-agent" }))
      yield* agentOf(hub, { identity: key, location: undefined })
      yield* agent.closed
      assert.strictEqual((yield* statusOf(hub, "owner-token")).machines[0]?.location, "cellar")
    })
  )
})

describe("what happens to peers", () => {
  it.scoped("is recorded: who came, who was denied, who left", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const agent = yield* agentOf(hub)
      const { client } = yield* session(hub, agent)
      for (const token of ["nobody-token", "wrong-token"]) {
        const denied = yield* dial(hub)
        denied.say(connect({ token }))
        yield* denied.text
      }
      const stranger = yield* dial(hub)
      stranger.say(register({ token: "nobody-token", machineName: "loft" }))
      yield* stranger.text
      const recorded = Effect.map(hub.audit.list({ limit: 100 }), (events) => events.length)
      client.ws.terminate()
      while ((yield* recorded) < 6) yield* turn
      agent.ws.terminate()
      while ((yield* recorded) < 7) yield* turn
      const events = yield* hub.audit.list({ limit: 100 })
      assert.deepStrictEqual(
        events
          .toReversed()
          .map(({ action, actor, detail, from, machine, outcome }) => [action, actor, machine, from, outcome, detail]),
        [
          ["agent-register", "agent", "barn", "127.0.0.1", "ok", "ports=[22 3389]"],
          ["client-connect", "alice", "barn", "127.0.0.1", "ok", "services=SSH:22"],
          ["client-connect", "nobody", "barn", "127.0.0.1", "denied", undefined],
          ["client-connect", undefined, "barn", "127.0.0.1", "denied", undefined],
          ["agent-register", "nobody", "loft", "127.0.0.1", "denied", undefined],
          ["client-disconnect", "alice", "barn", "127.0.0.1", "ok", "services=SSH:22"],
          ["agent-disconnect", "agent", "barn", "127.0.0.1", "ok", undefined]
        ]
      )
      assert.notInclude(JSON.stringify(events), "-token")
    })
  )

  /** How the last events noted name those who acted or were acted upon, newest first. */
  const lastNames = (hub: TestHub, count: number) =>
    Effect.map(hub.audit.list({ limit: count }), (events) =>
      events.map(({ action, actor, target }) => `${action} ${target ?? actor}`)
    )

  it.scoped("is recorded under the name that they have when it happens, whatever they came with", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const agent = yield* agentOf(hub)
      const { client } = yield* session(hub, agent)
      const second = yield* session(hub, agent)
      yield* hub.change(Change.Update({ id: "alice", rename: "alicia" }))
      yield* hub.change(Change.Update({ id: "agent", rename: "barn-agent" }))
      // Somebody else is called so from now on.
      yield* hub.change(Change.Update({ id: "bob", rename: "alice" }))
      const recorded = Effect.map(hub.audit.list({ limit: 100 }), (events) => events.length)
      const before = yield* recorded
      client.ws.terminate()
      while ((yield* recorded) < before + 1) yield* turn
      assert.deepStrictEqual(yield* lastNames(hub, 1), ["client-disconnect alicia"])
      yield* hub.change(Change.Rotate({ id: "alicia", token: newToken }))
      yield* wantsRevoked(second.client, /the token of alicia was replaced/)
      while ((yield* recorded) < before + 4) yield* turn
      assert.deepStrictEqual(yield* lastNames(hub, 2), ["client-disconnect alicia", "access-ended alicia"])
      agent.ws.terminate()
      while ((yield* recorded) < before + 5) yield* turn
      assert.deepStrictEqual(yield* lastNames(hub, 1), ["agent-disconnect barn-agent"])
    })
  )

  it.scoped("is not recorded under a name that another one has by now", () =>
    Effect.gen(function* () {
      const { hub } = yield* start
      const { client } = yield* session(hub, yield* agentOf(hub))
      yield* hub.change(Change.Update({ id: "alice", rename: "alicia" }))
      const recorded = Effect.map(hub.audit.list({ limit: 100 }), (events) => events.length)
      const before = yield* recorded
      yield* hub.change(Change.Remove({ id: "alicia" }))
      yield* wantsRevoked(client, /alicia is no longer an identity/)
      while ((yield* recorded) < before + 3) yield* turn
      assert.deepStrictEqual(yield* lastNames(hub, 2), [
        "client-disconnect alicia (removed)",
        "access-ended alicia (removed)"
      ])
    })
  )
})
