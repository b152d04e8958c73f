import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/TestClock"
import * as SessionSocket from "../../src/agent/SessionSocket.ts"
import * as Control from "../../src/protocol/Control.ts"
import {
  HANDSHAKE_TIMEOUT,
  JOIN_RETRY,
  JOIN_TRIES,
  JOIN_WITHIN,
  SESSION_JOIN_TIMEOUT
} from "../../src/protocol/Limits.ts"
import type { Carrier, Dial } from "../../src/transport/Carrier.ts"
import { DialError } from "../../src/transport/Carrier.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"

/** The longest pause before a next try. */
const PAUSE = JOIN_RETRY * 2 ** JOIN_TRIES

/** A hub of which each socket is played by hand. */
const hub = Effect.gen(function* () {
  const sockets = yield* Queue.unbounded<Carrier>()
  const state = { dials: 0, reachable: true }
  const dial: Dial = (url) =>
    Effect.suspend(() => {
      state.dials++
      if (!state.reachable) return Effect.fail(new DialError({ url, reason: "nothing listens there" }))
      const [near, far] = MemoryCarrier.pair()
      return Effect.acquireRelease(Effect.as(Queue.offer(sockets, far), near), (carrier) =>
        Effect.sync(() => carrier.terminate())
      )
    })
  /** The next socket, once it has asked for the session. */
  const asked = Effect.gen(function* () {
    const inbox = Inbox.make(yield* Queue.take(sockets))
    const message = yield* inbox.take
    assert.strictEqual(message._tag, "Text")
    if (message._tag === "Text") {
      assert.deepStrictEqual(JSON.parse(message.text), { type: "session-join", machineId: "barn", sessionId: "s1" })
    }
    return inbox
  })
  const join = SessionSocket.join({
    hub: "wss://hub.example.com",
    machine: "barn",
    sessionId: "s1",
    dial,
    joining: yield* Effect.makeSemaphore(1)
  })
  return { asked, join, state }
})

const start = Control.encode({ type: "session-start" })

describe("an agent's socket for a session", () => {
  it.scoped("is another one when it is lost before the hub has answered", () =>
    Effect.gen(function* () {
      const { asked, join, state } = yield* hub
      const joining = yield* Effect.fork(join)
      const first = yield* asked
      first.carrier.terminate()
      yield* Effect.yieldNow()
      yield* TestClock.adjust(PAUSE)
      const second = yield* asked
      second.carrier.sendText(start)
      const joined = yield* Fiber.join(joining)
      assert.isFalse(joined.carrier.isClosed)
      assert.strictEqual(state.dials, 2)
    })
  )

  it.scoped("is another one when nothing is heard on it, and the silent one is closed", () =>
    Effect.gen(function* () {
      const { asked, join, state } = yield* hub
      const joining = yield* Effect.fork(join)
      const silent = yield* asked
      yield* TestClock.adjust(HANDSHAKE_TIMEOUT - 1)
      assert.strictEqual(state.dials, 1)
      yield* TestClock.adjust(1 + PAUSE)
      const next = yield* asked
      assert.isTrue(silent.carrier.isClosed)
      next.carrier.sendText(start)
      yield* Fiber.join(joining)
    })
  )

  it.scoped("is not tried again when the hub refuses, or says something else", () =>
    Effect.gen(function* () {
      for (const [answer, kind] of [
        [Control.encode({ type: "error", message: "Session not found" }), "refused"],
        ["hello", "strange"]
      ] as const) {
        const { asked, join, state } = yield* hub
        const joining = yield* Effect.fork(Effect.flip(join))
        const { carrier } = yield* asked
        carrier.sendText(answer)
        assert.strictEqual((yield* Fiber.join(joining)).kind, kind)
        assert.strictEqual(state.dials, 1)
      }
    })
  )

  it.scoped("is given up while the hub still waits for it", () =>
    Effect.gen(function* () {
      const { join, state } = yield* hub
      state.reachable = false
      const refused = yield* Effect.fork(Effect.flip(join))
      yield* TestClock.adjust(SESSION_JOIN_TIMEOUT)
      assert.strictEqual((yield* Fiber.join(refused)).kind, "lost")
      assert.strictEqual(state.dials, JOIN_TRIES)

      state.reachable = true
      const began = yield* Clock.currentTimeMillis
      const silent = yield* Effect.fork(Effect.zipLeft(Effect.flip(join), Effect.void))
      let done = yield* Fiber.poll(silent)
      while (done._tag === "None") {
        yield* TestClock.adjust(100)
        done = yield* Fiber.poll(silent)
      }
      assert.isAtMost((yield* Clock.currentTimeMillis) - began, SESSION_JOIN_TIMEOUT)
      assert.isBelow(JOIN_WITHIN, SESSION_JOIN_TIMEOUT)
    })
  )
})
