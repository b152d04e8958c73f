import { EventEmitter } from "node:events"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { DEAD_AFTER, PING_INTERVAL } from "../../src/protocol/Limits.ts"
import * as Heartbeat from "../../src/transport/Heartbeat.ts"

/** As much of a WebSocket as a heartbeat touches. */
class Peer extends EventEmitter {
  readonly OPEN = 1
  readyState = 1
  isPaused = false
  bufferedAmount = 0
  pings = 0
  isDead = false
  answers = true
  /** Bytes that the system has taken. */
  taken = 0

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

const watched = (peer: Peer, rhythm = Heartbeat.accepted) =>
  Effect.gen(function* () {
    const heartbeat = yield* Heartbeat.make(rhythm)
    // The first look is at once.
    yield* TestClock.adjust(1)
    heartbeat.watch(peer, () => peer.taken)
    return peer
  })

describe("Heartbeat", () => {
  it.scoped("pings, and leaves alone who answers", () =>
    Effect.gen(function* () {
      const peer = yield* watched(new Peer())
      yield* TestClock.adjust(10 * DEAD_AFTER)
      assert.isFalse(peer.isDead)
      assert.approximately(peer.pings, (10 * DEAD_AFTER) / PING_INTERVAL / 2, 1)
    })
  )

  it.scoped("does not ask who is heard anyway", () =>
    Effect.gen(function* () {
      const peer = yield* watched(new Peer())
      for (let i = 0; i < 20; i++) {
        peer.emit("ping")
        yield* TestClock.adjust(PING_INTERVAL)
      }
      assert.strictEqual(peer.pings, 0)
    })
  )

  it.scoped("of whoever dialled: notices within 15 s that nobody answers, and not before it has asked for 5 s", () =>
    Effect.gen(function* () {
      const peer = yield* watched(new Peer(), Heartbeat.dialled)
      yield* TestClock.adjust(60_000)
      assert.isFalse(peer.isDead)
      assert.isAtMost(peer.pings, 7)
      peer.answers = false
      const { pings } = peer
      yield* TestClock.adjust(5_000)
      assert.isFalse(peer.isDead)
      yield* TestClock.adjust(10_000)
      assert.isTrue(peer.isDead)
      assert.isAbove(peer.pings, pings)
    })
  )

  /** A slow link on which our own messages wait, and so does a ping. */
  const uploading = Effect.gen(function* () {
    const peer = yield* watched(new Peer(), Heartbeat.dialled)
    peer.answers = false
    peer.bufferedAmount = 1
    return peer
  })

  /** The system takes something in so much time, and that until it is told otherwise. */
  const moving = (peer: Peer, every: number, lasts: number) =>
    Effect.gen(function* () {
      for (let at = 0; at < lasts; at += every) {
        peer.taken++
        yield* TestClock.adjust(every)
      }
    })

  it.scoped("gives a slow link on which our own messages wait the longer time, as long as they leave", () =>
    Effect.gen(function* () {
      const peer = yield* uploading
      yield* moving(peer, 10_000, DEAD_AFTER - 10_000)
      assert.isFalse(peer.isDead)
      peer.bufferedAmount = 0
      yield* TestClock.adjust(5_000)
      assert.isTrue(peer.isDead)
    })
  )

  it.scoped("and no longer than that", () =>
    Effect.gen(function* () {
      const peer = yield* uploading
      yield* moving(peer, 5_000, DEAD_AFTER + 10_000)
      assert.isTrue(peer.isDead)
    })
  )

  it.scoped("notices within 15 s that the path is gone on which our own messages wait", () =>
    Effect.gen(function* () {
      const peer = yield* uploading
      yield* moving(peer, 5_000, 20_000)
      peer.emit("pong")
      peer.taken++
      yield* TestClock.adjust(5_000)
      assert.isFalse(peer.isDead)
      yield* TestClock.adjust(10_000)
      assert.isTrue(peer.isDead)
    })
  )

  it.scoped("of a hub: is heard by those whom it does not read sooner than they give it up", () =>
    Effect.gen(function* () {
      const peer = yield* watched(new Peer())
      peer.answers = false
      peer.isPaused = true
      const { pings } = peer
      yield* TestClock.adjust(60_000)
      assert.isAtLeast(peer.pings - pings, 60_000 / 5_000 - 1)
    })
  )

  it.scoped("gives everybody the whole time once more when this computer slept", () =>
    Effect.gen(function* () {
      const running = yield* Effect.clock
      let slept = 0
      const peer = new Peer()
      const heartbeat = yield* Heartbeat.make(Heartbeat.dialled).pipe(
        Effect.withClock({
          [Clock.ClockTypeId]: Clock.ClockTypeId,
          currentTimeMillis: running.currentTimeMillis,
          currentTimeNanos: running.currentTimeNanos,
          unsafeCurrentTimeMillis: () => running.unsafeCurrentTimeMillis() + slept,
          unsafeCurrentTimeNanos: () => running.unsafeCurrentTimeNanos(),
          sleep: (duration) => running.sleep(duration)
        })
      )
      yield* TestClock.adjust(1)
      heartbeat.watch(peer)
      peer.answers = false
      yield* TestClock.adjust(9_000)
      slept = 3_600_000
      yield* TestClock.adjust(5_000)
      assert.isFalse(peer.isDead)
      const { pings } = peer
      yield* TestClock.adjust(10_000)
      assert.isFalse(peer.isDead)
      assert.isAbove(peer.pings, pings)
      yield* TestClock.adjust(5_000)
      assert.isTrue(peer.isDead)
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
