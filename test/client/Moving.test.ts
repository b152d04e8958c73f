/** A client whose session is to go on elsewhere, and many that lose theirs at once. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/TestClock"
import type { ConnectError } from "../../src/client/ConnectError.ts"
import type { ConnectEvent } from "../../src/client/ConnectEvent.ts"
import * as Connector from "../../src/client/Connector.ts"
import * as Session from "../../src/client/Session.ts"
import { encode } from "../../src/protocol/Control.ts"
import { RESUME_RETRY_CAP } from "../../src/protocol/Limits.ts"
import type { ByteStream, ByteStreamHandlers } from "../../src/transport/ByteStream.ts"
import { KeepBudget } from "../../src/tunnel/KeepBudget.ts"
import { collect } from "../support/collect.ts"
import { agent, client } from "../support/ends.ts"
import { idleStream } from "../support/idleStream.ts"
import * as MemoryHub from "../support/MemoryHub.ts"
import { turn } from "../support/turn.ts"

const settle = Effect.repeatN(turn, 200)

const connected = (hub: MemoryHub.MemoryHub, budget?: KeepBudget) =>
  Effect.gen(function* () {
    const options = yield* client(hub)
    const events: Array<ConnectEvent> = []
    const connector = yield* Connector.make({
      machine: "barn",
      open: (begin) => Session.attempt(options, begin),
      budget,
      onEvent: (event) => void events.push(event)
    })
    const session = yield* connector.session
    return { connector, session, events }
  })

describe("a client that moves", () => {
  it.scoped("a hub that meddles with a session while it moves is not tried again", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub)
      yield* barn.registered("barn")
      const { connector, session } = yield* connected(hub)
      let ended: ConnectError | undefined
      yield* Effect.forkScoped(Effect.tap(Effect.flip(connector.ended), (error) => Effect.sync(() => (ended = error))))
      hub.tellClients(encode({ type: "drain", retryIn: 500 }))
      yield* settle
      hub.toClient = (frame) => {
        const changed = Uint8Array.from(frame)
        changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1
        return [changed]
      }
      yield* Effect.forkScoped(Effect.either(session.tunnel.open({ port: 22 })))
      const how = yield* session.tunnel.closed
      assert.strictEqual(how.kind, "tampered")
      hub.toClient = (frame) => [frame]
      yield* settle
      yield* TestClock.adjust(1_000)
      yield* settle
      assert.strictEqual(ended?.kind, "untrusted")
    })
  )

  it.scoped("a drain that somebody forged does no more harm than a lost connection", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub)
      yield* barn.registered("barn")
      const { events, session } = yield* connected(hub)
      hub.tellClients(encode({ type: "drain", retryIn: 10 * 24 * 3_600_000 }))
      yield* settle
      hub.cutSessions()
      yield* session.tunnel.detached
      for (let i = 0; i < 60; i++) {
        yield* TestClock.adjust(60_000)
        yield* turn
      }
      assert.isAbove(events.filter((event) => event._tag === "Connected").length, 1)
    })
  )

  it.scoped("those who are cut before their time do not all come at once, and are back soon", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub)
      yield* barn.registered("barn")
      const all = []
      for (let i = 0; i < 20; i++) all.push(yield* connected(hub))
      hub.tellClients(encode({ type: "drain", retryIn: 20_000 }))
      yield* settle
      yield* Queue.takeAll(hub.dials)
      hub.cutSessions()
      yield* settle
      assert.isAtMost(yield* Queue.size(hub.dials), 10)
      yield* TestClock.adjust(RESUME_RETRY_CAP)
      for (let i = 0; i < 10; i++) yield* settle
      const back = all.filter(({ events }) => events.filter((event) => event._tag === "Connected").length === 2)
      assert.strictEqual(back.length, 20)
    })
  )

  it.scoped(
    "two hundred sessions of a machine move at once",
    () =>
      Effect.gen(function* () {
        const hub = yield* MemoryHub.make
        hub.sessionRequest = (request) => ({ ...request, sessionIdx: 1 })
        const budget = new KeepBudget({ total: 2 ** 32, perIdentity: 2 ** 32 })
        const barn = yield* agent(hub, { budget })
        yield* barn.registered("barn")
        const all = []
        for (let i = 0; i < 200; i++) all.push(yield* connected(hub, budget))
        hub.tellClients(encode({ type: "drain", retryIn: 500 }))
        yield* settle
        yield* TestClock.adjust(500)
        for (let i = 0; i < 20; i++) yield* settle
        const moved = all.filter(({ events }) => events.filter((event) => event._tag === "Connected").length === 2)
        assert.strictEqual(moved.length, 200)
      }),
    120_000
  )

  it.scoped("nothing comes of a service that the new session may not use", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      let service: ByteStreamHandlers | undefined
      const reach = (): Effect.Effect<ByteStream> =>
        Effect.succeed({
          write: () => true,
          end: () => {},
          reset: () => {},
          pause: () => {},
          resume: () => {},
          attach: (handlers) => void (service = handlers)
        })
      const barn = yield* agent(hub, { reach })
      yield* barn.registered("barn")
      const scope = yield* Effect.scope
      const options = yield* client(hub)
      const account = () => new KeepBudget().open("")
      const first = yield* Session.attempt(options, { scope, account })
      const here = collect(yield* first.session.tunnel.open({ port: 22 }))
      yield* settle
      hub.cutSessions()
      yield* first.session.tunnel.detached
      yield* settle
      service?.data(Buffer.from("secret"))
      hub.services = ["db"]
      const second = yield* Effect.either(Session.attempt(options, { scope, account, kept: first.kept }))
      assert.isTrue(Either.isRight(second) && second.right.resumed)
      const reset = yield* here.closed
      assert.isDefined(reset)
      assert.strictEqual(Buffer.concat(here.chunks).toString(), "")
    })
  )

  it.scoped("a session goes on under its identity's new name, and under no other", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub)
      yield* barn.registered("barn")
      const scope = yield* Effect.scope
      const options = yield* client(hub)
      const account = () => new KeepBudget().open("")
      const { kept, session } = yield* Session.attempt(options, { scope, account })
      hub.cutSessions()
      yield* session.tunnel.detached
      yield* settle
      hub.principal = "alicia"
      assert.isFalse((yield* Session.attempt(options, { scope, account, kept })).resumed)
      const renamed = { type: "session-update", sessionId: "session-1", revision: 2, principal: "alicia" } as const
      hub.control("barn")?.sendText(encode(renamed))
      yield* turn
      assert.isTrue((yield* Session.attempt(options, { scope, account, kept })).resumed)
    })
  )

  it.scoped(
    "an identity's idle connections all survive a hub that restarts",
    () =>
      Effect.gen(function* () {
        const hub = yield* MemoryHub.make
        const barn = yield* agent(hub, { reach: () => Effect.succeed(idleStream()) })
        yield* barn.registered("barn")
        const scope = yield* Effect.scope
        const budget = new KeepBudget({ total: 2 ** 32, perIdentity: 2 ** 32 })
        const opened = []
        for (let i = 0; i < 60; i++) {
          const options = yield* client(hub)
          const one = yield* Session.attempt(options, { scope, account: () => budget.open("barn") })
          for (let n = 0; n < 30; n++) collect(yield* one.session.tunnel.open({ port: 22 }))
          opened.push(one)
        }
        yield* settle
        const before = barn.held().streams
        hub.cutSessions()
        yield* settle
        assert.strictEqual(barn.held().streams, before)
      }),
    120_000
  )
})
