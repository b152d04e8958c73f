/** Connects that wait for a machine whose agent is expected back. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Arrivals from "../../src/hub/Arrivals.ts"
import * as Authority from "../../src/hub/Authority.ts"
import { Change } from "../../src/policy/Change.ts"
import {
  AWAITING_CONNECTS,
  AWAITING_CONNECTS_PER_IDENTITY,
  DRAIN_RETURN,
  MACHINE_RETURN,
  REGISTRATION_WAIT
} from "../../src/protocol/Limits.ts"
import * as AuditMemory from "../../src/store/AuditMemory.ts"
import { layerMemory } from "../../src/store/IdentityStore.ts"
import * as MachinesMemory from "../../src/store/MachinesMemory.ts"
import { metric } from "../support/metrics.ts"
import { turn } from "../support/turn.ts"
import type { Peer } from "./harness.ts"
import { agentOf, ask, connect, dial, identity, initial, owner, startHub } from "./harness.ts"

const made = Effect.gen(function* () {
  const storage = Layer.merge(layerMemory(initial), AuditMemory.layer)
  const context = yield* Layer.build(Arrivals.layer.pipe(Layer.provideMerge(Authority.layer), Layer.provide(storage)))
  const arrivals = Context.get(context, Arrivals.Arrivals)
  const authority = Context.get(context, Authority.Authority)
  return {
    ...arrivals,
    /** Waits in a fiber of its own, which has begun to. */
    begin: (machine: string, id = "alice", until = REGISTRATION_WAIT) =>
      Effect.tap(Effect.fork(arrivals.wait({ machine, tokenHash: identity(id).tokenHash, until })), Effect.yieldNow()),
    revoke: (id: string) =>
      authority.change({
        change: Change.Revoke({ id }),
        by: { identity: owner, from: "local" },
        event: { action: "access-update" }
      })
  }
})

const isWaiting = <A>(fiber: Fiber.RuntimeFiber<A>) =>
  Effect.map(Effect.zipRight(turn, fiber.poll), (exit) => exit._tag === "None")

describe("whoever waits for a machine", () => {
  it.scoped("asks again when its agent arrives, and no sooner", () =>
    Effect.gen(function* () {
      const arrivals = yield* made
      const barn = yield* arrivals.begin("barn")
      const mill = yield* arrivals.begin("mill")
      arrivals.arrived("barn")
      assert.strictEqual(yield* Fiber.join(barn), "woken")
      assert.isTrue(yield* isWaiting(mill))
      assert.strictEqual(arrivals.size(), 1)
      yield* TestClock.adjust(REGISTRATION_WAIT - 1)
      assert.isTrue(yield* isWaiting(mill))
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(mill), "woken")
      assert.strictEqual(arrivals.size(), 0)
    })
  )

  it.scoped("asks again when its own rights change, or when all are to", () =>
    Effect.gen(function* () {
      const arrivals = yield* made
      const alice = yield* arrivals.begin("barn")
      const bob = yield* arrivals.begin("barn", "bob")
      yield* arrivals.revoke("alice")
      assert.strictEqual(yield* Fiber.join(alice), "woken")
      assert.isTrue(yield* isWaiting(bob))
      arrivals.wakeAll()
      assert.strictEqual(yield* Fiber.join(bob), "woken")
    })
  )

  it.scoped("leaves nothing when it gives up", () =>
    Effect.gen(function* () {
      const arrivals = yield* made
      yield* Fiber.interrupt(yield* arrivals.begin("barn"))
      assert.strictEqual(arrivals.size(), 0)
    })
  )

  it.scoped("is one of so many of an identity", () =>
    Effect.gen(function* () {
      const arrivals = yield* made
      const first = yield* arrivals.begin("barn")
      for (let i = 1; i < AWAITING_CONNECTS_PER_IDENTITY; i++) yield* arrivals.begin(`m${i}`)
      assert.strictEqual(yield* Fiber.join(yield* arrivals.begin("barn")), "identity")
      assert.isTrue(yield* isWaiting(yield* arrivals.begin("barn", "bob")))
      yield* Fiber.interrupt(first)
      assert.isTrue(yield* isWaiting(yield* arrivals.begin("barn")))
    })
  )

  it.scoped("is one of so many in all", () =>
    Effect.gen(function* () {
      const arrivals = yield* made
      for (let i = 0; i < AWAITING_CONNECTS; i++) yield* arrivals.begin("barn", `user${i}`)
      assert.strictEqual(yield* Fiber.join(yield* arrivals.begin("barn")), "hub")
      assert.strictEqual(arrivals.size(), AWAITING_CONNECTS)
    })
  )
})

describe("a connect to a hub that has just started", () => {
  /** A hub, and before it one that stopped while barn's agent was there, so many milliseconds ago. */
  const restarted = (ago = 0) =>
    Effect.gen(function* () {
      const machines = Layer.succeedContext(yield* Layer.build(MachinesMemory.layer))
      const scope = yield* Scope.make()
      yield* Effect.flatMap(startHub({}, { machines }), (hub) => agentOf(hub)).pipe(Scope.extend(scope))
      yield* Scope.close(scope, Exit.void)
      const hub = yield* startHub({}, { machines })
      yield* TestClock.adjust(ago)
      return hub
    })

  const asking = (hub: { readonly url: string }, more: object = {}) =>
    Effect.tap(dial(hub), (client) =>
      Effect.zipRight(
        Effect.sync(() => client.say(connect(more))),
        client.settled
      )
    )

  const wantsRefused = (client: Peer, message: RegExp) =>
    Effect.gen(function* () {
      assert.match(String((yield* client.text)["message"]), message)
      yield* client.closed
    })

  it.scoped("waits for a machine that was there before, and is served when its agent comes", () =>
    Effect.gen(function* () {
      const hub = yield* restarted()
      const client = yield* asking(hub)
      yield* TestClock.adjust(REGISTRATION_WAIT - 1)
      assert.strictEqual(client.pending, 0)
      const agent = yield* agentOf(hub)
      assert.deepInclude(yield* agent.text, { type: "session-request", sessionIdx: 1 })
      assert.strictEqual((yield* hub.counts).sessions, 1)
    })
  )

  it.scoped("waits for REGISTRATION_WAIT, and not while it has authenticated nobody", () =>
    Effect.gen(function* () {
      const hub = yield* restarted()
      const client = yield* asking(hub)
      assert.strictEqual((yield* hub.counts).unauthenticated, 0)
      yield* TestClock.adjust(REGISTRATION_WAIT)
      yield* wantsRefused(client, /^Machine not found$/)
      yield* wantsRefused(yield* asking(hub, { token: "wrong" }), /^Access denied/)
      yield* wantsRefused(yield* asking(hub, { token: "nobody-token" }), /^Access denied/)
    })
  )

  it.scoped("is told when too many wait with its token, and when to ask again", () =>
    Effect.gen(function* () {
      const hub = yield* restarted()
      const before = yield* metric("tela_hub_refused_total", "waiting")
      for (let i = 0; i < AWAITING_CONNECTS_PER_IDENTITY; i++) yield* asking(hub)
      const { message, retryIn } = yield* (yield* asking(hub)).text
      assert.match(
        String(message),
        /^barn is expected back, and too many wait for machines with this token \(limit 256\)/
      )
      assert.strictEqual(retryIn, REGISTRATION_WAIT / 2)
      assert.strictEqual((yield* metric("tela_hub_refused_total", "waiting")) - before, 1)
      const bob = yield* asking(hub, { token: "bob-token" })
      assert.strictEqual(bob.pending, 0)
    })
  )

  it.scoped("does not wait for a machine that nobody has seen, or that has had the time to come", () =>
    Effect.gen(function* () {
      const hub = yield* restarted(MACHINE_RETURN)
      yield* wantsRefused(yield* asking(hub, { machineId: "attic", token: "owner-token" }), /^Machine not found$/)
      yield* wantsRefused(yield* asking(hub), /^Machine not found$/)
    })
  )

  it.scoped("is refused as soon as it may not any more, or the hub stops", () =>
    Effect.gen(function* () {
      const hub = yield* restarted()
      const alice = yield* asking(hub)
      const bob = yield* asking(hub, { token: "bob-token" })
      yield* hub.change(Change.RevokeMachine({ id: "alice", machine: "barn" }))
      yield* wantsRefused(alice, /^Access denied/)
      assert.strictEqual(bob.pending, 0)
      yield* Effect.fork(hub.drain())
      const { retryIn, ...refusal } = yield* bob.text
      assert.deepStrictEqual(refusal, { type: "error", message: "this hub is restarting; try again in a moment" })
      assert.isAtLeast(Number(retryIn), DRAIN_RETURN)
      assert.strictEqual((yield* bob.closed).code, 1012)
    })
  )

  it.scoped("that is given up is no session when the agent comes", () =>
    Effect.gen(function* () {
      const hub = yield* restarted()
      const client = yield* asking(hub)
      const closed = Effect.async<void>((resume) => void client.ws.once("close", () => resume(Effect.void)))
      client.ws.close()
      yield* closed
      const agent = yield* agentOf(hub)
      yield* agent.settled
      assert.strictEqual(agent.pending, 0)
    })
  )

  it.scoped("waits for an agent that was lost a moment ago, too", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const first = yield* agentOf(hub)
      const { client } = yield* ask(hub, first)
      first.ws.terminate()
      yield* client.closed
      const next = yield* asking(hub)
      assert.strictEqual(next.pending, 0)
      const agent = yield* agentOf(hub)
      assert.strictEqual((yield* agent.text)["type"], "session-request")
    })
  )
})
