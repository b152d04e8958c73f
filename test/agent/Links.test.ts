/** What an agent keeps for clients that are away: bounded, counted, and given back. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Session from "../../src/client/Session.ts"
import { KEPT_RESERVE, RESUME_GRACE, RESUME_GRACE_MAX, RESUME_RETRY_CAP } from "../../src/protocol/Limits.ts"
import { ResetCode } from "../../src/protocol/StreamReset.ts"
import type { ByteStream } from "../../src/transport/ByteStream.ts"
import { KeepBudget } from "../../src/tunnel/KeepBudget.ts"
import { agent, client } from "../support/ends.ts"
import { idleStream } from "../support/idleStream.ts"
import * as MemoryHub from "../support/MemoryHub.ts"
import { collect } from "../support/collect.ts"
import { turn } from "../support/turn.ts"

const MiB = 2 ** 20

/** A service that has endlessly much to say, and never reads: what it was not asked to write, it writes. */
const flooding = (): Effect.Effect<ByteStream> =>
  Effect.sync(() => {
    let paused = false
    return {
      write: () => true,
      end: () => {},
      reset: () => {},
      pause: () => (paused = true),
      resume: () => {},
      attach: (handlers) => {
        while (!paused) handlers.data(Buffer.alloc(65_536, 1))
      }
    }
  })

const patiently = (holds: () => boolean) =>
  Effect.iterate(0, { while: (turns) => turns < 2_000 && !holds(), body: (turns) => Effect.as(turn, turns + 1) })

/** So many clients, each with a stream that nobody reads. */
const clients = (hub: MemoryHub.MemoryHub, count: number) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const budget = new KeepBudget({ total: 4 * 1024 * MiB, perIdentity: 4 * 1024 * MiB })
    return yield* Effect.forEach(Array.from({ length: count }), () =>
      Effect.gen(function* () {
        const options = yield* client(hub)
        const opened = yield* Session.attempt(options, { scope, account: () => budget.open("barn") })
        const stream = yield* opened.session.tunnel.open({ port: 22 })
        stream.pause()
        return opened
      })
    )
  })

describe("links that wait for their client", () => {
  it.scoped(
    "stay within the memory that there is for all of them, two hundred at a time, and give all of it back",
    () =>
      Effect.gen(function* () {
        const total = 160 * MiB
        const budget = new KeepBudget({ total, perIdentity: total })
        const hub = yield* MemoryHub.make
        const barn = yield* agent(hub, { reach: flooding, budget })
        yield* barn.registered("barn")
        const opened = yield* clients(hub, 200)
        assert.strictEqual(opened.filter(({ kept }) => kept !== undefined).length, 200)
        yield* patiently(() => budget.left < 61 * MiB)
        hub.cutSessions()
        yield* patiently(() => barn.held().carrier === 0)
        const { kept, undelivered, unsent } = barn.held()
        assert.isAbove(kept, 0)
        assert.isAtMost(kept + undelivered + unsent, total)
        assert.isAtLeast(budget.left, 0)
        yield* TestClock.adjust(RESUME_GRACE)
        yield* patiently(() => budget.left === total)
        assert.strictEqual(budget.left, total)
        assert.deepInclude(barn.held(), { kept: 0, streams: 0, unsent: 0 })
      }),
    60_000
  )

  it.scoped("are not begun by whoever has used up what an identity may have, and others have theirs", () =>
    Effect.gen(function* () {
      const budget = new KeepBudget({ perIdentity: (16 * KEPT_RESERVE) / 3 })
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub, { budget })
      yield* barn.registered("barn")
      const scope = yield* Effect.scope
      const resumable = Effect.gen(function* () {
        const options = yield* client(hub)
        const opened = yield* Session.attempt(options, { scope, account: () => new KeepBudget().open("") })
        return opened.kept !== undefined
      })
      const greedy = yield* Effect.all(Array.from({ length: 6 }, () => resumable))
      assert.deepStrictEqual(greedy, [true, true, true, true, false, false])
      hub.principal = "bob"
      assert.isTrue(yield* resumable)
    })
  )

  it.scoped("bring their agent back sooner: a hub that was away long finds it before their clients give up", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub, { resumeGrace: RESUME_GRACE_MAX })
      yield* barn.registered("barn")
      const scope = yield* Effect.scope
      const { kept } = yield* Session.attempt(yield* client(hub), { scope, account: () => new KeepBudget().open("") })
      assert.isDefined(kept)
      hub.reachable = false
      hub.cutSessions()
      hub.cutControl("barn")
      // Long enough for the pauses to have grown.
      for (let second = 0; second < 120; second++) yield* TestClock.adjust(1_000)
      yield* Queue.takeAll(hub.dials)
      const steps = Math.ceil((RESUME_RETRY_CAP * 1.25) / 250) + 1
      for (let i = 0; i < steps && (yield* Queue.size(hub.dials)) === 0; i++) yield* TestClock.adjust(250)
      assert.isAbove(yield* Queue.size(hub.dials), 0)
    })
  )

  it.scoped("go on through a hub that vouches for nobody, as deployed ones do", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      hub.vouches = false
      const barn = yield* agent(hub)
      yield* barn.registered("barn")
      const scope = yield* Effect.scope
      const options = yield* client(hub)
      const account = () => new KeepBudget().open("")
      const first = yield* Session.attempt(options, { scope, account })
      hub.cutSessions()
      yield* first.session.tunnel.detached
      const second = yield* Session.attempt(options, { scope, account, kept: first.kept })
      assert.isTrue(second.resumed)
      assert.strictEqual(second.session.tunnel, first.session.tunnel)
    })
  )

  it.scoped("go on under the grant of the new session: what that does not cover is reset", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub, { reach: () => Effect.succeed(idleStream()) })
      yield* barn.registered("barn")
      const scope = yield* Effect.scope
      const options = yield* client(hub)
      const account = () => new KeepBudget().open("")
      const first = yield* Session.attempt(options, { scope, account })
      const { tunnel } = first.session
      const [ssh, db] = [collect(yield* tunnel.open({ port: 22 })), collect(yield* tunnel.open({ port: 5432 }))]
      hub.cutSessions()
      yield* tunnel.detached
      hub.services = ["db"]
      const second = yield* Session.attempt(options, { scope, account, kept: first.kept })
      assert.isTrue(second.resumed)
      assert.deepStrictEqual(second.session.services, [{ port: 5432, name: "db" }])
      const reset = yield* ssh.closed
      assert.deepStrictEqual(
        [reset?.code, reset?.reason],
        [ResetCode.denied, "this session may no longer use SSH (port 22)"]
      )
      tunnel.close("done")
      assert.strictEqual((yield* db.closed)?.reason, "done")
    })
  )

  it.scoped("are told to the hub when the agent registers, for whom it vouched", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub)
      yield* barn.registered("barn")
      const scope = yield* Scope.make()
      const options = yield* client(hub)
      yield* Scope.extend(Session.attempt(options, { scope, account: () => new KeepBudget().open("") }), scope)
      const first = yield* hub.registers.take
      assert.isUndefined(first.detached)
      const named = [{ sessionId: "session-1", principal: "alice" }]
      // A path that is dead may seem to stand.
      hub.cutControl("barn")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* hub.registers.take).detached, named)
      hub.cutSessions()
      yield* turn
      hub.cutControl("barn")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* hub.registers.take).detached, named)
    })
  )
})
