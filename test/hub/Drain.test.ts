/** A hub that stops: in which order, who is told what, and who may stay for how long. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Offer from "../../src/agent/Offer.ts"
import * as Arrivals from "../../src/hub/Arrivals.ts"
import * as Authority from "../../src/hub/Authority.ts"
import * as Directory from "../../src/hub/Directory.ts"
import * as Drain from "../../src/hub/Drain.ts"
import * as Sessions from "../../src/hub/Sessions.ts"
import { encode } from "../../src/protocol/Control.ts"
import {
  DRAIN_ANSWERS,
  DRAIN_CLIENT_LAG,
  DRAIN_LOOK,
  DRAIN_MOVE,
  DRAIN_RATE,
  DRAIN_RETURN
} from "../../src/protocol/Limits.ts"
import * as AuditMemory from "../../src/store/AuditMemory.ts"
import { layerMemory } from "../../src/store/IdentityStore.ts"
import type { CarrierClosed } from "../../src/transport/Carrier.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import { metric } from "../support/metrics.ts"
import { turn } from "../support/turn.ts"
import { agentOf, connect, dial, frame, identity, initial, KEY, register, session, startHub, tcp } from "./harness.ts"

const WITHIN = 30_000

/** What was begun for later in this turn is done after a few. */
const turns = Effect.repeatN(turn, 50)
const adjust = (milliseconds: number) => Effect.zipRight(TestClock.adjust(milliseconds), turns)

/** A connection as the hub has it, and what its peer was told. */
const connection = () => {
  const [peer, hub] = MemoryCarrier.pair()
  const said: Array<unknown> = []
  let how: CarrierClosed | undefined
  peer.receive({
    binary: () => {},
    text: (text) => said.push(JSON.parse(text)),
    drain: () => {},
    closed: (closed) => (how = closed)
  })
  return {
    inbox: Inbox.make(hub),
    leave: () => peer.close(1000, ""),
    say: (text: string) => peer.sendText(text),
    /** What it was told of the hub's end: when to come back. */
    retryIn: () => {
      const drain = said.find((each) => typeof each === "object" && each !== null && "retryIn" in each)
      return typeof drain === "object" && drain !== null && "retryIn" in drain ? Number(drain.retryIn) : undefined
    },
    closed: () => how?.code
  }
}

const made = Effect.gen(function* () {
  const storage = Layer.merge(layerMemory(initial), AuditMemory.layer)
  const context = yield* Layer.build(
    Drain.layer.pipe(
      Layer.provideMerge(Arrivals.layer),
      Layer.provideMerge(Layer.merge(Directory.layer, Sessions.layer("00000000"))),
      Layer.provide(Authority.layer),
      Layer.provide(storage)
    )
  )
  const drain = Context.get(context, Drain.Drain)
  const directory = Context.get(context, Directory.Directory)
  const sessions = Context.get(context, Sessions.Sessions)
  return {
    drain,
    directory,
    sessions,
    /** A machine whose agent is there. */
    machine: (name: string) => {
      const control = connection()
      const agent = { carrier: control.inbox.carrier, principal: identity("agent") }
      const { token: _, ...said } = register({ machineName: name })
      directory.register(name, agent, { ...said, type: "register", tags: [] })
      const left = () => {
        control.leave()
        return directory.leave(name, agent)
      }
      return { ...control, left }
    },
    /** A session that is up, if it is to be, and whose ends can go on elsewhere, if they can. */
    open: (machine: string, { joined = true, resumes = true } = {}) => {
      const [client, agent] = [connection(), connection()]
      const about = { machine, services: undefined, key: undefined, wgPubKey: KEY, resumes }
      const asked = { ...about, principal: identity("alice"), client: client.inbox }
      const session = Either.getOrThrow(
        sessions.open(asked, { hub: Infinity, identity: Infinity, bandwidth: Infinity })
      )
      if (joined) sessions.pair(session, agent.inbox)
      return { client, agent, session }
    },
    /** Drains, in a fiber of its own, which has told everybody. */
    begin: Effect.gen(function* () {
      drain.begin()
      const fiber = yield* Effect.fork(drain.run(WITHIN))
      yield* turns
      return fiber
    })
  }
})

const isOver = <A>(fiber: Fiber.RuntimeFiber<A>) => Effect.map(fiber.poll, (exit) => exit._tag === "Some")

describe("a hub that stops", () => {
  it.scoped("takes nothing new from the first moment, and says when to ask again", () =>
    Effect.gen(function* () {
      const { drain } = yield* made
      const before = yield* metric("tela_hub_refused_total", "draining")
      yield* drain.admits
      drain.begin()
      assert.isTrue(drain.isDraining())
      const times = new Set<number>()
      for (let i = 0; i < 20; i++) {
        const { code, retryIn = 0 } = yield* Effect.flip(drain.admits)
        assert.strictEqual(code, 1012)
        assert.isAtLeast(retryIn, DRAIN_RETURN)
        assert.isAtMost(retryIn, 3 * DRAIN_RETURN)
        times.add(retryIn)
      }
      assert.isAbove(times.size, 1, "not all at once")
      assert.strictEqual((yield* metric("tela_hub_refused_total", "draining")) - before, 20)
    })
  )

  it.scoped("asks agents back before their clients, and no more a second than it could take in", () =>
    Effect.gen(function* () {
      const { begin, machine, open } = yield* made
      const agents = Array.from({ length: 60 }, (_, index) => machine(`m${`${index}`.padStart(2, "0")}`))
      const sessions = Array.from({ length: 120 }, (_, index) => open(`m${`${index % 60}`.padStart(2, "0")}`))
      const fiber = yield* begin
      const agentsBack = agents.map(({ retryIn }) => retryIn() ?? -1)
      assert.strictEqual(Math.min(...agentsBack), DRAIN_RETURN)
      assert.strictEqual(new Set(agentsBack).size, 60)
      assert.strictEqual(Math.max(...agentsBack), DRAIN_RETURN + (59 * 1_000) / DRAIN_RATE)
      sessions.forEach(({ agent, client }, index) => {
        const back = client.retryIn() ?? -1
        assert.isAtLeast(back, (agentsBack[index % 60] ?? Infinity) + DRAIN_CLIENT_LAG)
        assert.strictEqual(agent.retryIn(), back, "the same for both ends of a session")
      })
      const clientsBack = sessions.map(({ client }) => client.retryIn() ?? -1).toSorted((a, b) => a - b)
      assert.isAtLeast((clientsBack.at(-1) ?? 0) - (clientsBack[0] ?? 0), (119 * 1_000) / DRAIN_RATE)
      yield* Fiber.interrupt(fiber)
    })
  )

  it("asks for more a second when it has little time, so that all can have moved before it goes", () => {
    for (const [count, within, last] of [
      [20_000, 30_000, DRAIN_RETURN + 20_000],
      [40_000, 30_000, 30_000 - DRAIN_MOVE - DRAIN_CLIENT_LAG],
      [20_000, 10_000, 10_000 - DRAIN_MOVE - DRAIN_CLIENT_LAG],
      [20_000, 3_000, 3_000 / 2 - DRAIN_CLIENT_LAG],
      [3, 1, DRAIN_RETURN]
    ] as const) {
      const spread = Drain.spreadOf(count, within)
      const times = Array.from({ length: count }, (_, index) => spread(index))
      assert.strictEqual(times[0], DRAIN_RETURN)
      assert.approximately(times.at(-1) ?? 0, last, 2)
      assert.isAtLeast(new Set(times).size, Math.min(count, last - DRAIN_RETURN - 2), "evenly")
    }
  })

  it.scoped("counts as cut who had no time to move", () =>
    Effect.gen(function* () {
      const { drain, machine, open } = yield* made
      machine("barn")
      const { client } = open("barn")
      drain.begin()
      const fiber = yield* Effect.fork(drain.run(2_000))
      yield* turns
      yield* adjust(2_000)
      assert.deepStrictEqual(yield* Fiber.join(fiber), { moved: 0, finished: 0, cut: 1 })
      yield* turns
      assert.strictEqual(client.closed(), 1012)
    })
  )

  it.scoped("lets those finish whose agent says, when it has joined, that they cannot move", () =>
    Effect.gen(function* () {
      const { begin, machine, open } = yield* made
      machine("barn")
      const { agent, client } = open("barn")
      agent.say(encode({ type: "wg-pubkey", wgPubKey: KEY, ports: [], tunnels: [], capabilities: {} }))
      yield* turns
      const fiber = yield* begin
      yield* adjust(WITHIN - DRAIN_LOOK)
      assert.isUndefined(client.closed())
      yield* Fiber.interrupt(fiber)
    })
  )

  it.scoped("is done as soon as everybody has gone", () =>
    Effect.gen(function* () {
      const { begin, machine, open } = yield* made
      const before = yield* metric("tela_hub_drained_total")
      const barn = machine("barn")
      const { agent, client } = open("barn")
      const fiber = yield* begin
      yield* adjust(DRAIN_RETURN + DRAIN_CLIENT_LAG)
      barn.left()
      client.leave()
      yield* turns
      yield* adjust(DRAIN_LOOK)
      assert.deepStrictEqual(yield* Fiber.join(fiber), { moved: 1, finished: 0, cut: 0 })
      assert.strictEqual(agent.closed(), 1000, "its client has left, and nothing else was said")
      assert.strictEqual((yield* metric("tela_hub_drained_total")) - before, 1)
    })
  )

  it.scoped("lets go of those who can move when they have had the time to", () =>
    Effect.gen(function* () {
      const { begin, machine, open } = yield* made
      const barn = machine("barn")
      const { agent, client } = open("barn")
      const unjoined = open("barn", { joined: false, resumes: false })
      const fiber = yield* begin
      const until = (retryIn = Infinity) => retryIn + DRAIN_MOVE - 1
      yield* adjust(until(barn.retryIn()))
      assert.isUndefined(barn.closed())
      yield* adjust(DRAIN_LOOK)
      assert.strictEqual(barn.closed(), 1012)
      assert.isUndefined(client.closed())
      yield* adjust(DRAIN_CLIENT_LAG + DRAIN_LOOK)
      assert.deepStrictEqual([agent.closed(), client.closed(), unjoined.client.closed()], [1012, 1012, 1012])
      assert.isFalse(yield* isOver(fiber))
      yield* Fiber.interrupt(fiber)
    })
  )

  it.scoped("lets those finish who cannot move, and keeps their agent for them", () =>
    Effect.gen(function* () {
      const { begin, machine, open } = yield* made
      const [barn, mill] = [machine("barn"), machine("mill")]
      const staying = open("barn", { resumes: false })
      const fiber = yield* begin
      yield* adjust(WITHIN / 2)
      assert.strictEqual(mill.closed(), 1012)
      assert.deepStrictEqual(
        [barn.closed(), staying.client.closed(), staying.agent.closed()],
        [undefined, undefined, undefined]
      )
      assert.isDefined(staying.client.retryIn(), "it is told all the same")
      staying.client.leave()
      yield* turns
      yield* adjust(DRAIN_LOOK)
      assert.strictEqual(barn.closed(), 1012)
      barn.left()
      mill.left()
      yield* adjust(DRAIN_LOOK)
      assert.deepStrictEqual(yield* Fiber.join(fiber), { moved: 0, finished: 1, cut: 0 })
    })
  )

  it.scoped("cuts what is left when the time is over, whatever peers do", () =>
    Effect.gen(function* () {
      const { begin, machine, open } = yield* made
      const barn = machine("barn")
      const staying = open("barn", { resumes: false })
      const fiber = yield* begin
      yield* adjust(WITHIN - DRAIN_LOOK)
      assert.isUndefined(staying.client.closed())
      yield* adjust(DRAIN_LOOK)
      assert.deepStrictEqual(yield* Fiber.join(fiber), { moved: 0, finished: 0, cut: 1 })
      yield* turns
      assert.deepStrictEqual([barn.closed(), staying.client.closed(), staying.agent.closed()], [1012, 1012, 1012])
    })
  )

  it.scoped("with nobody there is done at once", () =>
    Effect.gen(function* () {
      const { drain } = yield* made
      drain.begin()
      assert.deepStrictEqual(yield* drain.run(WITHIN), { moved: 0, finished: 0, cut: 0 })
    })
  )

  it.scoped("waits for requests that were under way, but not for ever", () =>
    Effect.gen(function* () {
      const { drain } = yield* made
      const answer = yield* Deferred.make<void>()
      const request = yield* Effect.fork(drain.answering(Deferred.await(answer)))
      const stuck = yield* Effect.fork(drain.answering(Effect.never))
      yield* Effect.yieldNow()
      const answered = yield* Effect.fork(drain.answered)
      yield* TestClock.adjust(DRAIN_ANSWERS - DRAIN_LOOK)
      assert.isFalse(yield* isOver(answered))
      yield* TestClock.adjust(DRAIN_LOOK)
      yield* Fiber.join(answered)
      yield* Deferred.succeed(answer, undefined)
      yield* Fiber.join(request)
      yield* Fiber.interrupt(stuck)
      yield* drain.answered
    })
  )
})

describe("a hub that is drained", () => {
  const request = (path: string) => `GET ${path} HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer owner-token\r\n\r\n`

  it.scoped("is not ready first, leaves its port, and answers what it still hears with when to come back", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      const up = yield* session(hub, agent)
      const late = [yield* dial(hub), yield* dial(hub)] as const
      const asking = yield* Effect.all([tcp(hub), tcp(hub), tcp(hub)])
      const closed = yield* Deferred.make<void>()
      const drained = yield* Effect.fork(hub.drain({ within: 1_000, onceClosed: Deferred.succeed(closed, undefined) }))
      yield* Effect.yieldNow()
      const [ready, health, status] = asking
      ready.socket.end(request("/readyz"))
      health.socket.end(request("/healthz"))
      status.socket.end(request("/api/status"))
      assert.match(yield* ready.ended, /^HTTP\/1\.1 503 /)
      assert.match(yield* health.ended, /^HTTP\/1\.1 200 /)
      assert.match(yield* status.ended, /^HTTP\/1\.1 503 [^]*retry-after: 1\r\n[^]*restarting/i)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(dial(hub))), "the port is another's to take")
      for (const [peer, message] of [
        [late[0], connect()],
        [late[1], register({ machineName: "mill" })]
      ] as const) {
        peer.say(message)
        const { retryIn, ...said } = yield* peer.text
        assert.deepStrictEqual(said, { type: "error", message: "this hub is restarting; try again in a moment" })
        assert.isAbove(Number(retryIn), 0)
        assert.strictEqual((yield* peer.closed).code, 1012)
      }
      yield* Deferred.await(closed)
      const { retryIn, type } = yield* agent.text
      assert.deepStrictEqual([type, retryIn], ["drain", DRAIN_RETURN])
      const back = DRAIN_RETURN + DRAIN_CLIENT_LAG
      for (const end of [up.client, up.joined])
        assert.deepStrictEqual(yield* end.text, { type: "drain", retryIn: back })
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(yield* Fiber.join(drained), { moved: 0, finished: 0, cut: 1 })
      for (const end of [agent, up.client, up.joined]) assert.strictEqual((yield* end.closed).code, 1012)
    })
  )

  it.scoped("lets the sessions of an agent that keeps nothing finish", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub, { capabilities: Offer.capabilities(false) })
      const { client, joined } = yield* session(hub, agent, { resumes: true })
      const drained = yield* Effect.fork(hub.drain({ within: WITHIN }))
      for (const peer of [agent, client, joined]) assert.strictEqual((yield* peer.text)["type"], "drain")
      yield* TestClock.adjust(WITHIN / 2)
      for (const peer of [agent, client, joined]) yield* peer.settled
      client.frame(frame(Buffer.from("still here")))
      assert.deepStrictEqual(yield* joined.binary, frame(Buffer.from("still here"), 7))
      client.ws.close()
      yield* Effect.repeat(Effect.zipRight(turn, hub.counts), { until: ({ sessions }) => sessions === 0 })
      yield* TestClock.adjust(DRAIN_LOOK)
      assert.strictEqual((yield* agent.closed).code, 1012)
      yield* Effect.repeat(Effect.zipRight(turn, hub.counts), { until: ({ machines }) => machines === 0 })
      yield* TestClock.adjust(DRAIN_LOOK)
      assert.deepStrictEqual(yield* Fiber.join(drained), { moved: 0, finished: 1, cut: 0 })
    })
  )
})
