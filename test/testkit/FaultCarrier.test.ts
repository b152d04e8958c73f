import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CARRIER_HIGH_WATER } from "../../src/protocol/Limits.ts"
import type { Carrier } from "../../src/transport/Carrier.ts"
import * as FaultCarrier from "../../src/transport/FaultCarrier.ts"
import { fair } from "../../src/transport/FaultPath.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import * as Conditions from "../support/Conditions.ts"

interface Heard {
  readonly texts: Array<string>
  bytes: number
  drains: number
  closed: number | undefined
  readonly when: (holds: () => boolean) => Effect.Effect<void>
}

/** What an end was told. */
const listen = (carrier: Carrier): Heard => {
  const { changed, when } = Conditions.make()
  const heard: Heard = { texts: [], bytes: 0, drains: 0, closed: undefined, when }
  const told = (change: () => void) => {
    change()
    changed()
  }
  carrier.receive({
    text: (text) => told(() => heard.texts.push(text)),
    binary: (message) => told(() => (heard.bytes += message.length)),
    drain: () => told(() => heard.drains++),
    closed: ({ code }) => told(() => (heard.closed = code))
  })
  return heard
}

const ends = (options?: FaultCarrier.FaultOptions) => {
  const [inner, far] = MemoryCarrier.pair("near", "far")
  const near = FaultCarrier.make(inner, options)
  return { near, far, nearEnd: listen(near), farEnd: listen(far) }
}

/** Long enough for everything that is not delayed. */
const settled = Effect.promise(() => new Promise((resolve) => setImmediate(() => setImmediate(resolve))))

describe("a fault carrier", () => {
  it.live("changes nothing in fair weather", () =>
    Effect.gen(function* () {
      let over = 0
      const { far, farEnd, near, nearEnd } = ends({ over: () => over++ })
      near.sendText("there")
      near.send(new Uint8Array(10))
      far.sendText("back")
      yield* farEnd.when(() => farEnd.bytes === 10)
      yield* nearEnd.when(() => nearEnd.texts.length === 1)
      near.close(1000, "bye")
      yield* farEnd.when(() => farEnd.closed !== undefined)
      yield* nearEnd.when(() => nearEnd.closed !== undefined)
      assert.deepStrictEqual([farEnd.texts, farEnd.closed, nearEnd.closed, over], [["there"], 1000, 1000, 1])
    })
  )

  it.live("keeps the order under delay and jitter, and takes its time", () =>
    Effect.gen(function* () {
      const { farEnd, near } = ends({ weather: { ...fair, delay: 20, jitter: 20 } })
      const sent = Array.from({ length: 50 }, (_, i) => String(i))
      const since = performance.now()
      for (const text of sent) near.sendText(text)
      yield* farEnd.when(() => farEnd.texts.length === 50)
      assert.isAtLeast(performance.now() - since, 19)
      assert.deepStrictEqual(farEnd.texts, sent)
      near.terminate()
    })
  )

  it.live("is as slow as it is told, and asks the sender to wait", () =>
    Effect.gen(function* () {
      const { farEnd, near, nearEnd } = ends({ weather: { ...fair, bytesPerSecond: 4_000_000 } })
      const since = performance.now()
      let took = true
      let sent = 0
      while (took) {
        took = near.send(new Uint8Array(40_000))
        sent += 40_000
      }
      assert.isAtLeast(near.buffered, CARRIER_HIGH_WATER)
      assert.isAtMost(near.buffered, CARRIER_HIGH_WATER + 40_000)
      yield* nearEnd.when(() => nearEnd.drains === 1)
      yield* farEnd.when(() => farEnd.bytes === sent)
      assert.isAtLeast(performance.now() - since, (sent / 4_000_000) * 1_000 - 1)
      near.terminate()
    })
  )

  it.live("held, it fills up without either end noticing, and goes on when it is released", () =>
    Effect.gen(function* () {
      const { far, farEnd, near, nearEnd } = ends()
      near.hold()
      while (near.send(new Uint8Array(32_000)));
      while (far.send(new Uint8Array(32_000)));
      const waiting = near.buffered
      yield* settled
      assert.deepStrictEqual([farEnd.bytes, nearEnd.bytes, farEnd.closed, nearEnd.closed], [0, 0, undefined, undefined])
      near.release()
      yield* farEnd.when(() => farEnd.bytes === waiting)
      yield* nearEnd.when(() => nearEnd.drains === 1)
      yield* farEnd.when(() => farEnd.drains === 1)
      near.terminate()
    })
  )

  it.live("a cut is 1006 for those who hear of it, and later for those who do not", () =>
    Effect.gen(function* () {
      const both = ends()
      both.near.cut()
      yield* both.farEnd.when(() => both.farEnd.closed === 1006)
      assert.strictEqual(both.nearEnd.closed, 1006)

      const near = ends()
      near.near.sendText("late")
      near.near.hold()
      near.near.sendText("later")
      near.near.cut("near")
      yield* settled
      assert.deepStrictEqual([near.nearEnd.closed, near.farEnd.closed, near.farEnd.texts], [1006, undefined, ["late"]])
      near.near.release()
      yield* near.farEnd.when(() => near.farEnd.closed === 1006)
      assert.deepStrictEqual(near.farEnd.texts, ["late", "later"])

      const far = ends()
      far.near.cut("far")
      yield* far.farEnd.when(() => far.farEnd.closed === 1006)
      far.near.sendText("to nobody")
      assert.isUndefined(far.nearEnd.closed)
      far.near.release()
      yield* far.nearEnd.when(() => far.nearEnd.closed === 1006)
    })
  )

  it.live("one that says goodbye on a held path is alone after a while, and leaves no timer", () =>
    Effect.gen(function* () {
      let over = 0
      const { farEnd, near, nearEnd } = ends({ over: () => over++ })
      near.hold()
      near.close(1000, "bye")
      yield* nearEnd.when(() => nearEnd.closed === 1006)
      assert.deepStrictEqual([farEnd.closed, over], [undefined, 0])
      near.release()
      yield* farEnd.when(() => farEnd.closed === 1000)
      yield* settled
      assert.strictEqual(over, 1)
    })
  )
})
