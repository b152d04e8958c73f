/** What limits refuse, in which words, and who makes room for whom. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Authority from "../../src/hub/Authority.ts"
import * as Limits from "../../src/hub/Limits.ts"
import * as Sessions from "../../src/hub/Sessions.ts"
import {
  LIMIT_RETRY,
  LINK_TICK,
  LOAD_LOOK,
  PROBE_DEADLINE,
  PROBE_IDLE,
  REPLACED_SILENCE,
  SESSION_INDEX_MAX
} from "../../src/protocol/Limits.ts"
import * as AuditMemory from "../../src/store/AuditMemory.ts"
import { defaults } from "../../src/store/HubLimits.ts"
import type { HubLimits } from "../../src/store/HubLimits.ts"
import { IdentityStore, layerMemory } from "../../src/store/IdentityStore.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import { metric } from "../support/metrics.ts"
import type { Peer } from "./harness.ts"
import {
  agentOf,
  ask,
  connect,
  dial,
  frame,
  identity,
  initial,
  KEY,
  register,
  session,
  sessionIds,
  startHub
} from "./harness.ts"

/** A hub whose limits can be changed as an edit of its file does. */
const limited = (limits: Partial<HubLimits>) =>
  Effect.gen(function* () {
    let said: HubLimits = { ...defaults, ...limits }
    const identities = Layer.effect(
      IdentityStore,
      Effect.map(IdentityStore, (store) => ({ ...store, limits: () => said }))
    ).pipe(Layer.provide(layerMemory(initial)))
    const hub = yield* startHub({}, { identities })
    return { hub, limit: (next: Partial<HubLimits>) => void (said = { ...said, ...next }) }
  })

const wantsRefused = (peer: Peer, message: string) =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* peer.text, { type: "error", message, retryIn: LIMIT_RETRY })
    const { code, reason } = yield* peer.closed
    assert.strictEqual(code, 1008)
    assert.isTrue(message.startsWith(reason))
  })

const saying = (hub: { readonly url: string }, message: object) =>
  Effect.tap(dial(hub), (peer) => Effect.sync(() => peer.say(message)))

const FILE = "the hub's telahubd.yaml"

describe("sessions", () => {
  it.scoped("of one identity are so many; others are not touched, and an end makes room", () =>
    Effect.gen(function* () {
      const { hub, limit } = yield* limited({ default: { sessions: 2 } })
      const agent = yield* agentOf(hub)
      const before = yield* metric("tela_hub_refused_total", "identity_sessions")
      const first = yield* session(hub, agent)
      yield* ask(hub, agent)
      const refusal = (limitOf: number, place: string) =>
        `Too many sessions for alice (limit ${limitOf}): end one, or raise ${place} in ${FILE}`
      yield* wantsRefused(yield* saying(hub, connect()), refusal(2, "limits.default.sessions"))
      limit({ roles: { user: { sessions: 1 } } })
      yield* wantsRefused(yield* saying(hub, connect()), refusal(1, "limits.roles.user.sessions"))
      limit({ identities: new Map([["alice", { sessions: 2 }]]) })
      yield* wantsRefused(yield* saying(hub, connect()), refusal(2, "limits.identities.alice.sessions"))
      assert.strictEqual((yield* metric("tela_hub_refused_total", "identity_sessions")) - before, 3)
      const denied = (yield* hub.audit.list({ limit: 10 })).filter(({ outcome }) => outcome === "denied")
      assert.strictEqual(denied.length, 3)
      assert.match(denied[0]?.why ?? "", /^Too many sessions for alice/)

      yield* session(hub, agent, { token: "bob-token" })
      first.client.ws.close()
      yield* first.joined.text
      yield* ask(hub, agent)
    })
  )

  it.scoped("of a hub are so many", () =>
    Effect.gen(function* () {
      const { hub, limit } = yield* limited({ sessions: 1 })
      const agent = yield* agentOf(hub)
      yield* ask(hub, agent)
      const message = `Too many sessions on this hub (limit 1): try again later, or raise limits.sessions in ${FILE}`
      yield* wantsRefused(yield* saying(hub, connect({ token: "bob-token" })), message)
      limit({ sessions: 2 })
      yield* ask(hub, agent, { token: "bob-token" })
    })
  )

  it.scoped("of a machine are as many as there are indices", () =>
    Effect.gen(function* () {
      const [, carrier] = MemoryCarrier.pair()
      const client = Inbox.make(carrier)
      const principal = identity("alice")
      const asked = {
        ...{ machine: "barn", services: undefined, key: undefined, wgPubKey: KEY, resumes: false },
        ...{ client, principal }
      }
      const open = Limits.openSession(asked, { action: "client-connect" })
      for (let i = 0; i < SESSION_INDEX_MAX; i++) yield* open
      const { retryIn, text } = yield* Effect.flip(open)
      assert.deepStrictEqual([text, retryIn], ["Too many sessions for this machine (max 254)", LIMIT_RETRY])
    }).pipe(
      Effect.provide(
        Layer.mergeAll(
          Sessions.layer("00000000"),
          Layer.provideMerge(Authority.layer, Layer.merge(layerMemory(initial), AuditMemory.layer))
        )
      ),
      Effect.asVoid
    )
  )

  it.scoped("have so many streams each, which our agents are told, whether or not they resume", () =>
    Effect.gen(function* () {
      const { hub } = yield* limited({
        default: { streams: 100 },
        identities: new Map([["bob", { streams: 7 }]])
      })
      const agent = yield* agentOf(hub, { capabilities: { serviceGrants: true, resumes: true } })
      const streams = ({ request: { client } }: { readonly request: Record<string, unknown> }) => client
      assert.deepInclude(streams(yield* ask(hub, agent)), { streams: 100 })
      assert.deepInclude(streams(yield* ask(hub, agent, { token: "bob-token" })), { streams: 7 })
      const resumesNothing = yield* agentOf(hub, { capabilities: { serviceGrants: true } })
      assert.deepInclude(streams(yield* ask(hub, resumesNothing)), { streams: 100 })
      const older = yield* agentOf(hub)
      assert.notProperty(streams(yield* ask(hub, older)), "streams")
    })
  )
})

describe("machines", () => {
  it.scoped("that are connected are so many; their agents may come back, and others when one has left", () =>
    Effect.gen(function* () {
      const { hub } = yield* limited({ machines: 1 })
      const before = yield* metric("tela_hub_refused_total", "machines")
      yield* agentOf(hub)
      const again = yield* agentOf(hub)
      const mill = register({ machineName: "mill" })
      const message = `register: too many machines on this hub (limit 1): stop one, or raise limits.machines in ${FILE}`
      yield* wantsRefused(yield* saying(hub, mill), message)
      assert.strictEqual((yield* metric("tela_hub_refused_total", "machines")) - before, 1)
      again.say(register({ location: "cellar" }))
      assert.strictEqual((yield* again.text)["type"], "registered")
      const client = yield* saying(hub, connect())
      yield* again.text
      again.ws.terminate()
      yield* client.closed
      yield* agentOf(hub, { machineName: "mill" })
      yield* wantsRefused(yield* saying(hub, register()), message)
    })
  )
})

describe("a session whose client is lost unnoticed", () => {
  const key = "1".repeat(64)
  const room = { hub: Infinity, identity: 1, bandwidth: Infinity }

  /** Sessions at a time of the test's choosing, of which one identity may have one. */
  const setUp = () => {
    const clock = { now: 0 }
    const sessions = Sessions.make(sessionIds, () => clock.now)
    const connection = () => {
      const [peer, carrier] = MemoryCarrier.pair()
      return { peer, inbox: Inbox.make(carrier) }
    }
    const open = (more: object = {}) => {
      const client = connection()
      const about = { machine: "barn", services: undefined, key, wgPubKey: KEY, resumes: true, ...more }
      const opened = sessions.open({ ...about, principal: identity("alice"), client: client.inbox }, room)
      return { client: client.peer, opened }
    }
    return { clock, connection, open, sessions }
  }

  it.effect("gives way to the same client's next when that finds no room, and may go on there", () =>
    Effect.gen(function* () {
      const { clock, connection, open, sessions } = setUp()
      const first = Either.getOrThrow(open().opened)
      sessions.pair(first, connection().inbox)
      clock.now = REPLACED_SILENCE - 1
      assert.deepStrictEqual(open().opened, Either.left("identity"))
      clock.now = REPLACED_SILENCE
      for (const other of [{ key: undefined }, { key: "2".repeat(64) }, { machine: "mill" }]) {
        assert.deepStrictEqual(open(other).opened, Either.left("identity"))
      }
      const next = Either.getOrThrow(open().opened)
      assert.isUndefined(sessions.find(first.id))
      assert.isDefined(sessions.detached.find(first.id))
      assert.strictEqual(sessions.find(next.id), next)
      assert.strictEqual((yield* first.ended).why, "replaced")
    })
  )

  it.effect("stays while it is heard", () =>
    Effect.gen(function* () {
      const { clock, connection, open, sessions } = setUp()
      const { client, opened } = open()
      const session = Either.getOrThrow(opened)
      sessions.pair(session, connection().inbox)
      clock.now = REPLACED_SILENCE - 1
      client.send(frame(Buffer.from("here")))
      yield* Effect.promise(() => new Promise(setImmediate))
      sessions.look()
      clock.now += REPLACED_SILENCE - 1
      sessions.look()
      assert.deepStrictEqual(open().opened, Either.left("identity"))
      clock.now += 1
      assert.isTrue(Either.isRight(open().opened))
      assert.isUndefined(sessions.find(session.id))
    })
  )

  it("stays while it answers as slowly as a living one may", () => {
    // A second for its own look, and one for the hub's.
    assert.isAtLeast(REPLACED_SILENCE, PROBE_IDLE + PROBE_DEADLINE + LINK_TICK + LOAD_LOOK)
  })

  it.effect("stays while there is room", () =>
    Effect.sync(() => {
      const { clock, open, sessions } = setUp()
      const first = Either.getOrThrow(open().opened)
      clock.now = 10 * REPLACED_SILENCE
      sessions.end(first, "client left")
      const second = Either.getOrThrow(open().opened)
      assert.strictEqual(sessions.find(second.id), second)
      assert.strictEqual(sessions.size(), 1)
    })
  )
})
