import { EventEmitter } from "node:events"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { DEAD_AFTER, PING_INTERVAL } from "../../src/protocol/Limits.ts"
import * as Heartbeat from "../../src/transport/Heartbeat.ts"

/** As much of a WebSocket as a heartbeat touches. */
class Peer extends EventEmitter {
  readonly OPEN = 1
  readyState = 1
  isPaused = false
  pings = 0
  isDead = false
  answers = true

  ping() {
    this.pings++
    if (this.answers) this.emit("pong")
  }

  terminate() {
    this.isDead = true
    this.readyState = 3
    this.emit("close")
  }
}

const watched = (peer: Peer) =>
  Effect.gen(function* () {
    const heartbeat = yield* Heartbeat.make
    heartbeat.watch(peer)
    return peer
  })

describe("Heartbeat", () => {
  it.scoped("pings, and leaves alone who answers", () =>
    Effect.gen(function* () {
      const peer = yield* watched(new Peer())
      yield* TestClock.adjust(10 * DEAD_AFTER)
      assert.isFalse(peer.isDead)
      assert.isAtLeast(peer.pings, (10 * DEAD_AFTER) / PING_INTERVAL - 1)
    })
  )

  it.scoped("destroys who stays silent, after DEAD_AFTER to within a ping", () =>
    Effect.gen(function* () {
      const peer = yield* watched(new Peer())
      peer.answers = false
      yield* TestClock.adjust(DEAD_AFTER - PING_INTERVAL)
      assert.isFalse(peer.isDead)
      yield* TestClock.adjust(2 * PING_INTERVAL)
      assert.isTrue(peer.isDead)
      const pings = peer.pings
      yield* TestClock.adjust(10 * PING_INTERVAL)
      assert.strictEqual(peer.pings, pings)
    })
  )

  it.scoped("counts any word as life, and no silence while we do not read", () =>
    Effect.gen(function* () {
      const peer = yield* watched(new Peer())
      peer.answers = false
      yield* TestClock.adjust(DEAD_AFTER - PING_INTERVAL)
      peer.emit("ping")
      yield* TestClock.adjust(DEAD_AFTER - PING_INTERVAL)
      peer.emit("message")
      yield* TestClock.adjust(DEAD_AFTER - PING_INTERVAL)
      assert.isFalse(peer.isDead)
      peer.isPaused = true
      const pings = peer.pings
      yield* TestClock.adjust(10 * DEAD_AFTER)
      assert.isFalse(peer.isDead)
      assert.isAbove(peer.pings, pings + 5)
      peer.isPaused = false
      yield* TestClock.adjust(2 * DEAD_AFTER)
      assert.isTrue(peer.isDead)
    })
  )
})
