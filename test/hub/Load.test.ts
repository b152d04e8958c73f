/** What a hub holds for its peers stays within `limits.memory`, and who makes it hold most loses a session for it. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Authority from "../../src/hub/Authority.ts"
import * as Directory from "../../src/hub/Directory.ts"
import * as Load from "../../src/hub/Load.ts"
import * as Sessions from "../../src/hub/Sessions.ts"
import { Change } from "../../src/policy/Change.ts"
import type { Identity } from "../../src/policy/Identity.ts"
import { CARRIER_HIGH_WATER, LOAD_FULL, LOAD_LEFT, LOAD_LOOK, MESSAGE_BYTES } from "../../src/protocol/Limits.ts"
import * as AuditMemory from "../../src/store/AuditMemory.ts"
import { defaults } from "../../src/store/HubLimits.ts"
import type { HubLimits } from "../../src/store/HubLimits.ts"
import { IdentityStore, layerMemory } from "../../src/store/IdentityStore.ts"
import type { Held, Holder } from "../../src/transport/Holders.ts"
import { metric } from "../support/metrics.ts"
import { turn } from "../support/turn.ts"
import type { Peer } from "./harness.ts"
import { agentOf, frame, identity, initial, owner, session, sessionIds, startHub } from "./harness.ts"

const MEMORY = 4 * 1024 * 1024

const withLimits = (limits: Partial<HubLimits>) => layerMemory(initial, { ...defaults, ...limits })

type TestHub = Effect.Effect.Success<ReturnType<typeof startHub>>

/** Watches what a hub holds, turn by turn, until something is so; says how much it was at most. */
const mostHeld = (hub: TestHub, isSo: () => boolean) =>
  Effect.gen(function* () {
    let most = 0
    while (!isSo()) {
      yield* turn
      most = Math.max(most, (yield* hub.counts).held)
    }
    return most
  })

const flows = ({ client, joined }: { readonly client: Peer; readonly joined: Peer }) =>
  Effect.gen(function* () {
    client.frame(frame(Buffer.from("to and")))
    assert.strictEqual((yield* joined.binary).subarray(7).toString(), "to and")
    joined.frame(frame(Buffer.from("fro")))
    assert.strictEqual((yield* client.binary).subarray(7).toString(), "fro")
  })

/** How many sockets have closed. */
const counting = (peers: ReadonlyArray<Peer>) => {
  let closed = 0
  for (const { ws } of peers) ws.once("close", () => closed++)
  return () => closed
}

describe("a hub whose peers", () => {
  /** More than MEMORY together; each more than the kernel's buffers of two sockets take. */
  const SLOW = 16
  const PIECES = 256
  const pieces = (peer: Peer) => {
    const piece = frame(Buffer.alloc(64 * 1024))
    for (let i = 0; i < PIECES; i++) peer.frame(piece)
  }

  it.scoped(
    "do not read holds no more than its memory, ends sessions of who holds most, and serves the others",
    () =>
      Effect.gen(function* () {
        const hub = yield* startHub({}, { identities: withLimits({ memory: MEMORY }) })
        const before = yield* metric("tela_hub_refused_total", "memory")
        const agent = yield* agentOf(hub)
        const sound = yield* session(hub, agent, { token: "deputy-token" })
        // Slow as well, but alone: less than an even share.
        const patient = yield* session(hub, agent, { token: "bob-token" })
        const greedy = yield* Effect.replicateEffect(session(hub, agent), SLOW)
        for (const { client } of [patient, ...greedy]) client.ws.pause()
        const closed = counting(greedy.map(({ joined }) => joined))
        for (const { joined } of [patient, ...greedy]) pieces(joined)
        const most = yield* mostHeld(hub, () => closed() >= SLOW / 4)
        assert.isAtMost(most, MEMORY)
        assert.isAbove(most, (MEMORY * LOAD_LEFT) / 2)
        assert.isAtLeast((yield* metric("tela_hub_refused_total", "memory")) - before, SLOW / 4)

        yield* flows(sound)
        // What the patient one was sent is all there, however late it reads.
        patient.client.ws.resume()
        for (let i = 0; i < PIECES; i++) assert.strictEqual((yield* patient.client.binary).length, 64 * 1024 + 7)
        yield* flows(patient)
        const { sessions } = yield* hub.counts
        assert.isAtLeast(sessions, 3, "no more are ended than need be")
      }),
    60_000
  )

  it.scoped("do not finish what they say holds no more than its memory", () =>
    Effect.gen(function* () {
      const hub = yield* startHub({}, { identities: withLimits({ memory: MEMORY }) })
      const agent = yield* agentOf(hub)
      const sound = yield* session(hub, agent, { token: "deputy-token" })
      const slow = yield* Effect.replicateEffect(session(hub, agent), 2 * SLOW)
      const closed = counting(slow.map(({ client }) => client))
      // A binary message of MESSAGE_BYTES, masked with zeros, but for its end.
      const head = Buffer.alloc(14)
      head.writeUInt16BE(0x82ff)
      head.writeBigUInt64BE(BigInt(MESSAGE_BYTES), 2)
      for (const { client } of slow) {
        const socket: unknown = Reflect.get(client.ws, "_socket")
        assert(socket instanceof Object && "write" in socket && typeof socket.write === "function")
        socket.write(Buffer.concat([head, Buffer.alloc(MESSAGE_BYTES - 1)]))
      }
      // As many as are too many: the others may stay.
      const tooMany = Math.ceil((2 * SLOW * MESSAGE_BYTES - MEMORY) / MESSAGE_BYTES)
      assert.isAtLeast(tooMany, SLOW)
      assert.isAtMost(yield* mostHeld(hub, () => closed() >= tooMany), MEMORY)
      yield* flows(sound)
      assert.isAtLeast((yield* hub.counts).sessions, 2)
    })
  )

  it.scoped("read, holds nothing in the end", () =>
    Effect.gen(function* () {
      const hub = yield* startHub({}, { identities: withLimits({ memory: MEMORY }) })
      const up = yield* session(hub, yield* agentOf(hub))
      pieces(up.joined)
      for (let i = 0; i < PIECES; i++) yield* up.client.binary
      yield* flows(up)
      assert.strictEqual((yield* hub.counts).held, 0)
    })
  )
})

describe("even shares", () => {
  it("leave those who hold little what they have, and the same to all others", () => {
    assert.strictEqual(Load.evenShare([1, 2, 3], 6), Infinity)
    assert.strictEqual(Load.evenShare([100, 1, 100], 61), 30)
    assert.strictEqual(Load.evenShare([10, 10], 10), 5)
    assert.strictEqual(Load.evenShare([], 10), Infinity)
    assert.strictEqual(Load.evenShare([1_000, 4], 10), 6)
  })
})

/** Load on connections and limits of a test's making. */
const watched = (limits: Partial<HubLimits> = {}) =>
  Effect.gen(function* () {
    let said: HubLimits = { ...defaults, ...limits }
    const holders: Array<Holder> = []
    let arrived = () => {}
    const connections: Held = {
      held: () => holders.reduce((sum, { unread }) => sum + unread, 0),
      holders: () => holders,
      onArrived: (_bytes, full) => (arrived = full)
    }
    /** A connection of an address that holds so much; destroyed, it holds nothing. */
    const hold = (address: string, unread: number) => {
      const holder: Holder = {
        carrier: undefined,
        address,
        unread,
        unfinished: 0,
        end: () => void holders.splice(holders.indexOf(holder), 1)
      }
      holders.push(holder)
      return holder
    }
    const rates: Array<(identity: Identity) => number> = []
    const sessions = Sessions.make(sessionIds)
    const store = Layer.effect(
      IdentityStore,
      Effect.map(IdentityStore, (store) => ({ ...store, limits: () => said }))
    ).pipe(Layer.provide(layerMemory(initial)))
    const context = yield* Layer.build(
      Layer.mergeAll(
        Authority.layer.pipe(Layer.provide([store, AuditMemory.layer])),
        Directory.layer,
        Layer.succeed(Sessions.Sessions, { ...sessions, setBandwidth: (of) => void rates.push(of) })
      )
    )
    yield* Effect.provide(Load.watch(connections), context)
    yield* Effect.yieldNow()
    const authority = Context.get(context, Authority.Authority)
    return {
      authority,
      hold,
      holders,
      sessions,
      rates: () => rates.splice(0),
      arrive: () => arrived(),
      limit: (next: Partial<HubLimits>) => (said = { ...said, ...next })
    }
  })

describe("who has to go", () => {
  it.scoped("is the connection that holds most, of the address that does, until there is room", () =>
    Effect.gen(function* () {
      const { arrive, hold, holders } = yield* watched({ memory: 1_000 })
      const little = hold("here", 100)
      const small = hold("there", 100)
      const large = hold("there", 300)
      const larger = hold("there", 350)
      arrive()
      assert.deepStrictEqual(holders, [little, small, large, larger], "it is not too much")
      const more = hold("elsewhere", 1_000 * LOAD_FULL - 849)
      arrive()
      assert.deepStrictEqual(holders, [little, small, large, more])
    })
  )

  it.scoped("is looked for when the limit is lowered, too", () =>
    Effect.gen(function* () {
      const { hold, holders, limit } = yield* watched({ memory: 1_000 })
      hold("a", 400)
      const kept = hold("b", 300)
      yield* TestClock.adjust(LOAD_LOOK)
      assert.strictEqual(holders.length, 2)
      limit({ memory: 500 })
      yield* TestClock.adjust(LOAD_LOOK)
      assert.deepStrictEqual(holders, [kept])
    })
  )
})

describe("limits that change while a hub runs", () => {
  it.scoped("set the bandwidth of each identity again, and so does a change of its role", () =>
    Effect.gen(function* () {
      const { authority, limit, rates } = yield* watched()
      const alice = identity("alice")
      const [first] = rates()
      assert.strictEqual(first?.(alice), Infinity)
      yield* TestClock.adjust(LOAD_LOOK)
      assert.deepStrictEqual(rates(), [])
      limit({ roles: { admin: { bandwidth: 1_000 } }, identities: new Map([["bob", { bandwidth: 2_000 }]]) })
      yield* TestClock.adjust(LOAD_LOOK)
      const [second] = rates()
      assert.deepStrictEqual(
        [alice, identity("bob"), identity("alice", "admin")].map((each) => second?.(each)),
        [Infinity, 2_000, 1_000]
      )
      const by = { identity: owner, from: "local" }
      const change = Change.Update({ id: "alice", role: "admin" })
      yield* authority.change({ change, by, event: { action: "access-update" } })
      yield* TestClock.adjust(LOAD_LOOK)
      assert.strictEqual(rates().length, 1)
    })
  )
})

describe("a hub's metrics", () => {
  it.scoped("say what it has in hand, and how much has passed", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub, { capabilities: { serviceGrants: true, resumes: true } })
      const before = yield* metric("tela_hub_relayed_bytes_total")
      const up = yield* session(hub, agent)
      const over = yield* session(hub, agent, { resumes: true })
      yield* flows(over)
      over.client.ws.terminate()
      yield* over.joined.text
      yield* flows(up)
      yield* TestClock.adjust(LOAD_LOOK)
      assert.strictEqual(yield* metric("tela_hub_sessions"), 1)
      assert.strictEqual(yield* metric("tela_hub_detached_sessions"), 1)
      assert.strictEqual((yield* metric("tela_hub_relayed_bytes_total")) - before, 2 * (7 + 6 + 7 + 3))
      assert.isAtMost(yield* metric("tela_hub_held_bytes"), CARRIER_HIGH_WATER)
    })
  )
})
