import { assert, describe, it } from "@effect/vitest"
import {
  LINK_CREDIT_POOL,
  LINK_STREAMS,
  LINK_WINDOW_BULK,
  LINK_WINDOW_MAX,
  LINK_WINDOW_SPARSE,
  PROBE_AFTER,
  PROBE_DEADLINE,
  SPARSE_HOLD,
  STREAM_CREDIT_FLOOR,
  STREAM_CREDIT_INITIAL,
  STREAM_CREDIT_MAX
} from "../../src/protocol/Limits.ts"
import { CreditPool, ReceiveCredit } from "../../src/tunnel/Credit.ts"
import { Window } from "../../src/tunnel/Window.ts"

const MiB = 1024 * 1024

describe("Window", () => {
  it("is small for a while after a sparse stream was active, and large otherwise", () => {
    const window = new Window()
    assert.strictEqual(window.size(0), LINK_WINDOW_BULK)
    window.sparse(1_000)
    assert.strictEqual(window.size(1_000), LINK_WINDOW_SPARSE)
    assert.strictEqual(window.size(1_000 + SPARSE_HOLD - 1), LINK_WINDOW_SPARSE)
    assert.strictEqual(window.size(1_000 + SPARSE_HOLD), LINK_WINDOW_BULK)
  })

  /** A path of this capacity (bytes a millisecond) and round trip, driven as fast as the window allows. */
  const drive = (window: Window, capacity: number, roundTrip: number, sparse: boolean) => {
    let position = 0
    let now = 0
    // The greeting's ping, before anything is queued.
    window.roundTrip(roundTrip)
    for (let round = 0; round < 60; round++) {
      if (sparse) window.sparse(now)
      const flight = window.size(now)
      const start = position
      position += flight
      window.sent(position, start, now)
      now += Math.max(roundTrip, flight / capacity)
      window.acknowledged(position, now)
    }
    if (sparse) window.sparse(now)
    return window.size(now)
  }

  it("grows to twice what a long path holds, and no further", () => {
    // 100 MB/s over 100 ms: the path holds 10 MB.
    const size = drive(new Window(), 100_000, 100, false)
    assert.isAtLeast(size, 10e6)
    assert.isAtMost(size, LINK_WINDOW_MAX)
    // 20 MB/s over 80 ms beside an interactive stream: 1.6 MB, not the 256 KiB that would starve it.
    const shared = drive(new Window(), 20_000, 80, true)
    assert.isAtLeast(shared, 1.6e6)
    assert.isAtMost(shared, 3.4e6)
  })

  it("has the patience for one record of what is under way, at the rate that was measured", () => {
    const fresh = new Window()
    assert.strictEqual(fresh.patience(0), PROBE_DEADLINE)
    assert.strictEqual(fresh.patience(16_000), PROBE_DEADLINE + 1_000)
    // Noticed within 15 s, with the silence before it is asked.
    assert.isAtMost(fresh.patience(LINK_WINDOW_MAX) + PROBE_AFTER, 12_000)
    const slow = new Window()
    slow.sent(8_000, 0, 0)
    slow.acknowledged(8_000, 2_000)
    assert.strictEqual(slow.patience(8_000), PROBE_DEADLINE + 4 * 2_000 + 2_000)
    const fast = new Window()
    drive(fast, 100_000, 1, false)
    assert.isAtMost(fast.patience(LINK_WINDOW_BULK) + PROBE_AFTER, 12_000)
  })

  it("stays at its base on a short path, however fast", () => {
    assert.strictEqual(drive(new Window(), 300_000, 0.2, true), LINK_WINDOW_SPARSE)
    assert.strictEqual(drive(new Window(), 300_000, 0.2, false), LINK_WINDOW_BULK)
  })
})

describe("Credit", () => {
  /** Sends as much as is allowed and reads it all, over and over. */
  const keepUp = (credit: ReceiveCredit, bytes: number) => {
    for (let sent = 0; sent < bytes; sent += 65_536) {
      assert.isTrue(credit.receive(65_536))
      credit.consume(65_536)
    }
  }

  it("starts small, grows while the reader keeps up, and stops at its ceiling", () => {
    const pool = new CreditPool()
    const credit = new ReceiveCredit(pool)
    assert.strictEqual(credit.limit, STREAM_CREDIT_INITIAL)
    keepUp(credit, 64 * MiB)
    assert.isAtMost(credit.limit - 64 * MiB, STREAM_CREDIT_MAX)
    assert.isAbove(credit.limit - 64 * MiB, STREAM_CREDIT_MAX / 2 - 1)
    assert.strictEqual(pool.left, LINK_CREDIT_POOL - STREAM_CREDIT_MAX)
    credit.release()
    credit.release()
    assert.strictEqual(pool.left, LINK_CREDIT_POOL)
  })

  it("refuses bytes beyond what was allowed", () => {
    const credit = new ReceiveCredit(new CreditPool())
    assert.isTrue(credit.receive(STREAM_CREDIT_INITIAL))
    assert.isFalse(credit.receive(1))
  })

  it("bounds a whole link: the pool, and a floor for each stream beyond it", () => {
    const pool = new CreditPool()
    const credits = Array.from({ length: LINK_STREAMS }, () => new ReceiveCredit(pool))
    for (const credit of credits) keepUp(credit, 0)
    const promised = credits.reduce((sum, credit) => sum + credit.limit, 0)
    assert.isAtMost(promised, LINK_CREDIT_POOL + LINK_STREAMS * STREAM_CREDIT_FLOOR)
    assert.isAtLeast(pool.left, 0)
    for (const credit of credits) credit.release()
    assert.strictEqual(pool.left, LINK_CREDIT_POOL)
  })

  it("tells the sender of a new limit only when half a window was read", () => {
    const credit = new ReceiveCredit(new CreditPool())
    assert.isTrue(credit.receive(STREAM_CREDIT_INITIAL))
    assert.isFalse(credit.consume(STREAM_CREDIT_INITIAL / 2 - 1))
    assert.isTrue(credit.consume(1))
    assert.strictEqual(credit.limit, STREAM_CREDIT_INITIAL + STREAM_CREDIT_INITIAL / 2)
  })
})
