/** Lanes: how fast bytes pass, and to whom. */
import { afterEach, beforeEach, vi } from "vitest"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Pace from "../../src/hub/Pace.ts"
import { PACE_BURST, PACE_QUANTUM, PACE_TICK } from "../../src/protocol/Limits.ts"
import { defaults } from "../../src/store/HubLimits.ts"
import { layerMemory } from "../../src/store/IdentityStore.ts"
import * as Conditions from "../support/Conditions.ts"
import type { Peer } from "./harness.ts"
import { agentOf, frame, initial, session, startHub } from "./harness.ts"

const RATE = 1_000_000

/** A connection that always has more: it reads a quantum, in messages of some size, whenever it is not asked to stop. */
const eager = (lane: Pace.Lane, message: number) => {
  const source = { passed: 0, stopped: false, turn: () => {} }
  const read = () => {
    for (let left = PACE_QUANTUM; left > 0; left -= message) {
      source.passed += message
      // What the read has brought passes, whatever the lane says meanwhile.
      if (!lane.pass(message, source.turn)) source.stopped = true
    }
  }
  const go = () => {
    while (!source.stopped) read()
  }
  source.turn = () => {
    source.stopped = false
    go()
  }
  return Object.assign(source, { go })
}

describe("a lane", () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  const made = () => Pace.make(() => Date.now())

  it("passes its rate, and each who waits gets the same, whatever the size of their messages", () => {
    const lane = made().lane(RATE)
    const sources = [64 * 1024, 16 * 1024, 1024, 128].map((message) => eager(lane, message))
    for (const { go } of sources) go()
    vi.advanceTimersByTime(20_000)
    const passed = sources.map(({ passed }) => passed)
    const all = passed.reduce((sum, each) => sum + each)
    assert.approximately(all, 20 * RATE, (RATE * PACE_BURST) / 1_000 + 5 * PACE_QUANTUM)
    for (const each of passed) assert.approximately(each, all / 4, 2 * PACE_QUANTUM)
  })

  it("lets who joins late take turns at once, and gives what one leaves to the others", () => {
    const lane = made().lane(RATE)
    const [first, second] = [eager(lane, 1024), eager(lane, 1024)]
    first.go()
    vi.advanceTimersByTime(10_000)
    second.go()
    const before = first.passed
    vi.advanceTimersByTime(10_000)
    assert.approximately(first.passed - before, 5 * RATE, 2 * PACE_QUANTUM)
    assert.approximately(second.passed, 5 * RATE, 2 * PACE_QUANTUM)
    lane.leave(first.turn)
    const [left, right] = [first.passed, second.passed]
    vi.advanceTimersByTime(10_000)
    assert.strictEqual(first.passed, left)
    assert.approximately(second.passed - right, 10 * RATE, 2 * PACE_QUANTUM)
  })

  it("has no say in others", () => {
    const pace = made()
    const [slow, fast, open] = [pace.lane(RATE), pace.lane(8 * RATE), pace.lane(Infinity)]
    const sources = Array.from({ length: 100 }, () => eager(slow, 1024))
    for (const { go } of sources) go()
    const one = eager(fast, 1024)
    one.go()
    vi.advanceTimersByTime(5_000)
    assert.approximately(one.passed, 40 * RATE, (8 * RATE * PACE_BURST) / 1_000 + 2 * PACE_QUANTUM)
    for (let i = 0; i < 1_000; i++) assert.isTrue(open.pass(PACE_QUANTUM, () => assert.fail("nobody waits there")))
  })

  it("lets who was quiet be ahead by PACE_BURST, and no more", () => {
    const lane = made().lane(RATE)
    vi.advanceTimersByTime(60_000)
    const burst = (RATE * PACE_BURST) / 1_000
    let turns = 0
    const turn = () => turns++
    assert.isTrue(lane.pass(burst - 1, turn))
    assert.isFalse(lane.pass(1, turn))
    vi.advanceTimersByTime(PACE_TICK)
    assert.strictEqual(turns, 1)
  })

  it("goes on at another rate from when that is set, and lets everybody go when there is none any more", () => {
    const pace = made()
    const lane = pace.lane(RATE)
    const source = eager(lane, 1024)
    source.go()
    vi.advanceTimersByTime(1_000)
    lane.setRate(10 * RATE)
    const before = source.passed
    vi.advanceTimersByTime(1_000)
    assert.approximately(source.passed - before, 10 * RATE, 3 * PACE_QUANTUM)
    let turns = 0
    const others = Array.from({ length: 5 }, () => () => void turns++)
    for (const turn of others) lane.pass(10 * RATE, turn)
    lane.leave(source.turn)
    lane.setRate(Infinity)
    vi.advanceTimersByTime(PACE_TICK)
    assert.strictEqual(turns, 5)
    assert.strictEqual(vi.getTimerCount(), 0, "nobody waits, and no timer runs")
  })

  it("keeps what was earned when the same rate is set again", () => {
    const lane = made().lane(RATE)
    let turns = 0
    lane.pass(RATE, () => turns++)
    for (let i = 0; i < 80; i++) {
      vi.advanceTimersByTime(10)
      lane.setRate(RATE)
    }
    assert.strictEqual(turns, 0)
    vi.advanceTimersByTime(200 - PACE_BURST + 2 * PACE_TICK)
    assert.strictEqual(turns, 1)
  })

  it("counts how often somebody was stopped, not how often they were asked to", () => {
    const pace = made()
    const lane = pace.lane(RATE)
    const turn = () => {}
    for (let i = 0; i < 10; i++) lane.pass(RATE, turn)
    assert.strictEqual(pace.takeStops(), 1)
    assert.strictEqual(pace.takeStops(), 0)
  })
})

describe("an identity with a bandwidth", () => {
  const MiB = 1024 * 1024
  const PIECE = 32 * 1024

  /** Sends so many bytes from one end to the other; `all` is done when they have come. */
  const carry = (from: Peer, to: Peer, bytes: number) => {
    const { changed, when } = Conditions.make()
    const carried = { bytes: 0 }
    to.ws.on("message", (data: Buffer) => {
      carried.bytes += data.length - 7
      changed()
    })
    const piece = frame(Buffer.alloc(PIECE))
    for (let sent = 0; sent < bytes; sent += PIECE) from.frame(piece)
    return Object.assign(carried, { all: when(() => carried.bytes >= bytes) })
  }

  it.scopedLive("shares it between its sessions, and costs others nothing", () =>
    Effect.gen(function* () {
      const rate = 4 * MiB
      const limits = { ...defaults, identities: new Map([["alice", { bandwidth: rate }]]) }
      const hub = yield* startHub({}, { identities: layerMemory(initial, limits) })
      const agent = yield* agentOf(hub)
      const [one, two] = [yield* session(hub, agent), yield* session(hub, agent)]
      const other = yield* session(hub, agent, { token: "bob-token" })
      const share = 3 * MiB
      const since = yield* Clock.currentTimeMillis
      const [first, second] = [one, two].map(({ client, joined }) => carry(client, joined, share))
      assert(first !== undefined && second !== undefined)
      const unbounded = carry(other.client, other.joined, 8 * MiB)
      yield* unbounded.all
      assert.isBelow(first.bytes + second.bytes, 2 * share, "whoever is not bounded does not wait for those who are")
      const later = yield* Effect.raceFirst(Effect.as(first.all, second), Effect.as(second.all, first))
      assert.isAtLeast(later.bytes, share * 0.6)
      const seconds = ((yield* Clock.currentTimeMillis) - since) / 1_000
      assert.isAtMost(share + later.bytes, rate * (seconds + PACE_BURST / 1_000) + 4 * PACE_QUANTUM)
    })
  )
})
