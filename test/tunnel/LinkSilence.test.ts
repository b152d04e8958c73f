/** When a link takes the other end for gone that says nothing, and what it says itself so that it is not taken for that. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { LINK_TICK, LINK_WINDOW_BULK, PROBE_AFTER, PROBE_DEADLINE } from "../../src/protocol/Limits.ts"
import { KeepBudget } from "../../src/tunnel/KeepBudget.ts"
import { turn } from "../support/turn.ts"
import * as LoneEnd from "./LoneEnd.ts"

const CHUNK = Buffer.alloc(65_536, 1)

/** An end whose clock is the test's: `ticks` lets so much of it pass, and looks at the link as the ticker does. */
const timed = () => {
  let now = 0
  const end = LoneEnd.make({ account: new KeepBudget().open("alice"), now: () => now })
  const ticks = (milliseconds: number, each: () => void = () => {}) =>
    Effect.gen(function* () {
      for (const until = now + milliseconds; now < until && end.closed() === undefined;) {
        now += LINK_TICK
        each()
        end.mux.link.tick()
        yield* turn
      }
    })
  return { end, ticks, now: () => now, pass: (milliseconds: number) => (now += milliseconds) }
}

/** Sends in bulk to a client that acknowledges fast, and then has a whole window under way to it. */
const uploading = Effect.gen(function* () {
  const all = timed()
  const { end, pass } = all
  end.open(64, 2 ** 30)
  yield* turn
  const pour = () => {
    for (const stream of end.streams) stream.write(CHUNK)
  }
  for (let round = 0; round < 20; round++) {
    pour()
    yield* turn
    pass(10)
    end.acknowledge()
  }
  pour()
  yield* turn
  assert.isAtLeast(end.mux.link.kept, LINK_WINDOW_BULK)
  return all
})

describe("a link that hears nothing", () => {
  it.effect("is given up within 15 s, however much is under way", () =>
    Effect.gen(function* () {
      const { end, now, ticks } = yield* uploading
      const begun = now()
      yield* ticks(60_000)
      assert.strictEqual(end.closed()?.kind, "lost")
      assert.isAtMost(now() - begun, 14_000)
      assert.isAtLeast(now() - begun, PROBE_AFTER + PROBE_DEADLINE)
    })
  )

  it.effect("is not given up as long as something of what is under way arrives", () =>
    Effect.gen(function* () {
      const { end, ticks } = yield* uploading
      // A record of 64 KiB on a path that has become one of 8 KB/s.
      for (let record = 0; record < 10; record++) {
        yield* ticks(8_000)
        end.acknowledge("next")
      }
      assert.isUndefined(end.closed())
      assert.isAtLeast(end.mux.link.kept, LINK_WINDOW_BULK / 2)
    })
  )
})

describe("a link that is sent something and has nothing to say", () => {
  it.effect("acknowledges it at the next tick, and says nothing when nothing came", () =>
    Effect.gen(function* () {
      const { end, ticks } = timed()
      end.open(1, 0)
      yield* ticks(LINK_TICK)
      const said = () => end.records.length
      const before = said()
      end.acknowledge()
      yield* ticks(2 * LINK_TICK)
      assert.strictEqual(said(), before)
      end.data(0, CHUNK)
      yield* turn
      assert.strictEqual(said(), before, "it waits for the tick")
      const told = end.records.at(-1)?.acknowledged ?? 0
      yield* ticks(LINK_TICK)
      assert.strictEqual(said(), before + 1)
      assert.deepInclude(end.records.at(-1), { acknowledged: told + 8 + CHUNK.length, frames: 0 })
      yield* ticks(LINK_TICK)
      assert.strictEqual(said(), before + 1)
    })
  )
})
