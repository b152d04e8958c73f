import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { Replay } from "../../src/tunnel/Replay.ts"

const record = (size: number) => Buffer.alloc(size, size)

/** A replay buffer with records of these sizes, none acknowledged. */
const filled = (...sizes: ReadonlyArray<number>) => {
  const replay = new Replay(true)
  for (const size of sizes) replay.push([record(size)], size)
  return replay
}

describe("Replay", () => {
  it("keeps what is not acknowledged, by whole records", () => {
    const replay = filled(10, 20, 30)
    assert.deepStrictEqual([replay.start, replay.end, replay.bytes, replay.records], [0, 60, 60, 3])
    assert.isTrue(replay.acknowledge(30))
    assert.deepStrictEqual([replay.start, replay.bytes, replay.records], [30, 30, 1])
    for (const lie of [29, 31, 59, 61]) assert.isFalse(replay.acknowledge(lie), `${lie}`)
    assert.isTrue(replay.acknowledge(60))
    assert.deepStrictEqual([replay.bytes, replay.records, replay.cost], [0, 0, 0])
  })

  it("sends again from where the peer stands, and says where the next record stands", () => {
    const replay = filled(10, 20, 30)
    assert.isTrue(replay.rewind(10))
    assert.strictEqual(replay.position, 10)
    assert.deepInclude(replay.takeAgain(), { start: 10, bytes: 20 })
    assert.strictEqual(replay.position, 30)
    // Acknowledged while it is sent again.
    assert.isTrue(replay.acknowledge(60))
    assert.isUndefined(replay.takeAgain())
    assert.strictEqual(replay.position, 60)
  })

  it("counts without keeping where nothing is to be sent again", () => {
    const replay = new Replay(false)
    for (const size of [10, 20]) replay.push([record(size)], size)
    assert.isTrue(replay.acknowledge(15))
    assert.deepStrictEqual([replay.bytes, replay.records], [15, 0])
  })

  it("owns small records: what they were cut from is not kept alive", () => {
    const block = Buffer.alloc(65_536, 1)
    const replay = new Replay(true)
    replay.push([block.subarray(0, 8), block.subarray(8, 16)], 16)
    replay.rewind(0)
    assert.deepStrictEqual(replay.takeAgain()?.parts, [Buffer.alloc(16, 1)])
    block.fill(2)
    replay.rewind(0)
    assert.deepStrictEqual(replay.takeAgain()?.parts, [Buffer.alloc(16, 1)])
  })

  const step = FastCheck.oneof(
    FastCheck.record({ do: FastCheck.constant("push" as const), size: FastCheck.integer({ min: 1, max: 6_000 }) }),
    FastCheck.record({
      do: FastCheck.constant("acknowledge" as const),
      part: FastCheck.double({ min: 0, max: 1, noNaN: true })
    }),
    FastCheck.record({
      do: FastCheck.constant("lose" as const),
      part: FastCheck.double({ min: 0, max: 1, noNaN: true })
    })
  )

  it("delivers every byte once, whatever is lost and acknowledged when", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(step, { maxLength: 300 }), (steps) => {
        const replay = new Replay(true)
        /** Ends of records, and how many the peer has: it takes them in order, each once. */
        const ends: Array<number> = []
        let received = 0
        const deliver = (start: number, bytes: number) => {
          assert.strictEqual(start, received === 0 ? 0 : ends[received - 1])
          assert.strictEqual(start + bytes, ends[received])
          received++
        }
        for (const each of steps) {
          switch (each.do) {
            case "push":
              ends.push(replay.end + each.size)
              replay.push([record(each.size)], each.size)
              deliver(replay.end - each.size, each.size)
              break
            case "acknowledge": {
              const known = Math.floor(each.part * received)
              const position = known === 0 ? 0 : (ends[known - 1] ?? 0)
              assert.strictEqual(replay.acknowledge(position), position >= replay.start)
              break
            }
            case "lose": {
              // The last records never arrived; the peer says how far it is.
              const least = ends.filter((end) => end <= replay.start).length
              received = least + Math.floor(each.part * (received - least))
              assert.isTrue(replay.rewind(received === 0 ? 0 : (ends[received - 1] ?? 0)))
              for (let kept = replay.takeAgain(); kept !== undefined; kept = replay.takeAgain()) {
                deliver(kept.start, kept.bytes)
              }
            }
          }
        }
        assert.strictEqual(received, ends.length)
        return replay.bytes === replay.end - replay.start
      })
    )
  })
})
