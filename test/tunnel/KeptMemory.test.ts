/** What is counted of what a link keeps, and what it really takes, when a peer wants it to be much. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { KEPT_BYTES, LINK_STREAMS, SMALL_CHUNK } from "../../src/protocol/Limits.ts"
import { ResetCode, type StreamReset } from "../../src/protocol/StreamReset.ts"
import { ChunkQueue } from "../../src/tunnel/ChunkQueue.ts"
import * as Frames from "../../src/tunnel/Frames.ts"
import { KeepBudget } from "../../src/tunnel/KeepBudget.ts"
import { Replay } from "../../src/tunnel/Replay.ts"
import { buffers } from "../support/memory.ts"
import { turn } from "../support/turn.ts"
import * as LoneEnd from "./LoneEnd.ts"

const KiB = 1024

/** What may be taken beyond what is counted: twice of it, and what a test itself leaves behind. */
const assertBounded = (taken: number, counted: number) => {
  assert.isAtMost(taken, 2 * counted + 256 * KiB, `${taken} bytes of memory counted as ${counted}`)
}

describe("what a link keeps", () => {
  it("owns the small parts of a large record, whatever they were cut from", () => {
    const replay = new Replay(true)
    const before = buffers()
    for (let record = 0; record < 20; record++) {
      const parts: Array<Uint8Array> = []
      for (let i = 0; i < 1_000; i++) parts.push(Buffer.alloc(8), new Uint8Array(SMALL_CHUNK).subarray(0, 1))
      replay.push(parts, 9_000)
    }
    assertBounded(buffers() - before, replay.cost)
    assert.isAbove(replay.bytes, 0)
  })

  it("owns what is little of a large chunk", () => {
    const replay = new Replay(true)
    const before = buffers()
    for (let record = 0; record < 200; record++) {
      const chunk = new Uint8Array(64 * KiB)
      replay.push([Buffer.alloc(8), chunk.subarray(0, SMALL_CHUNK)], 8 + SMALL_CHUNK)
    }
    assertBounded(buffers() - before, replay.cost)
    assert.isAbove(replay.bytes, 0)
  })

  it("does not copy bulk", () => {
    const replay = new Replay(true)
    const chunk = new Uint8Array(64 * KiB)
    replay.push([Frames.header(Frames.Type.data, 1, chunk.length), chunk], 8 + chunk.length)
    replay.rewind(0)
    assert.strictEqual(replay.takeAgain()?.parts[1], chunk)
  })

  it.effect(
    "is counted when a client grants a thousand streams a byte each, over and over, and acknowledges nothing",
    () =>
      Effect.gen(function* () {
        const budget = new KeepBudget()
        const { credit, mux, open, streams } = LoneEnd.make({ account: budget.open("alice") })
        open(LINK_STREAMS, 0)
        yield* turn
        assert.strictEqual(streams.length, LINK_STREAMS)
        const left = budget.left
        const before = buffers()
        for (let round = 1; round <= 100; round++) {
          for (const stream of streams) stream.write(Buffer.of(round))
          credit(() => round)
          yield* turn
        }
        assert.isAbove(mux.held.kept, 100 * LINK_STREAMS)
        assertBounded(buffers() - before, mux.held.kept + left - budget.left)
      })
  )
})

describe("what waits in streams", () => {
  it("goes with the link when its stream was never accepted, since nobody ever gets it", () => {
    const { lose, mux, say } = LoneEnd.make({})
    let refused: StreamReset | undefined
    mux.open({ port: 22 }, { accepted: () => {}, refused: (reset) => (refused = reset) })
    say([Frames.frame(Frames.Type.data, 2, Buffer.alloc(10)), Frames.frame(Frames.Type.fin, 2, Buffer.alloc(0))])
    assert.deepInclude(mux.held, { streams: 1, undelivered: 10 })
    lose()
    assert.strictEqual(refused?.code, ResetCode.lost)
    assert.deepInclude(mux.held, { streams: 0, undelivered: 0 })
  })

  it("costs what its bytes cost, however small the chunks are that come and go", () => {
    const before = buffers()
    const queues = Array.from({ length: 1_000 }, () => new ChunkQueue())
    for (const queue of queues) queue.push(Buffer.of(1))
    assert.isAtMost(buffers() - before, 256 * KiB)
    for (const queue of queues) for (let i = 0; i < 3_999; i++) queue.push(Buffer.of(1))
    assert.isAtMost(buffers() - before, 2 * 4_000 * queues.length)
    assert.strictEqual(queues[0]?.next, 4_000)
  })

  it.effect(
    "is counted when the carrier is lost: a byte of each block, and of each large chunk, is all that is left",
    () =>
      Effect.gen(function* () {
        const budget = new KeepBudget()
        const { acknowledge, credit, lose, mux, open, streams } = LoneEnd.make({ account: budget.open("alice") })
        open(LINK_STREAMS, 0)
        yield* turn
        const before = buffers()
        const sizeOf = (i: number) => (i % 2 === 0 ? 64 * KiB : SMALL_CHUNK)
        streams.forEach((stream, i) => {
          if (i % 2 === 0) stream.write(Buffer.alloc(64 * KiB))
          else for (let n = 0; n < SMALL_CHUNK; n++) stream.write(Buffer.of(1))
        })
        credit((i) => sizeOf(i) - 1)
        while (mux.held.unsent > LINK_STREAMS || mux.held.kept > 0) {
          yield* turn
          acknowledge()
        }
        assert.strictEqual(mux.held.unsent, LINK_STREAMS)
        const { left } = budget
        lose()
        assert.isFalse(mux.link.isOver)
        assertBounded(buffers() - before, left - budget.left)
        for (const stream of streams) stream.write(Buffer.of(1))
        assertBounded(buffers() - before, left - budget.left)
        mux.abandon("nobody came")
        assert.strictEqual(budget.left, KEPT_BYTES)
      })
  )
})
