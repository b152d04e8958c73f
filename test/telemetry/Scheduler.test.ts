import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Scheduler from "../../src/telemetry/Scheduler.ts"

/** Two fibers hand a message to and fro `times` times. */
const pingPong = (times: number) =>
  Effect.gen(function* () {
    const ping = yield* Queue.bounded<number>(1)
    const pong = yield* Queue.bounded<number>(1)
    const fiber = yield* Effect.fork(
      Effect.forEach(Array.from({ length: times }), () => Effect.flatMap(ping.take, (n) => pong.offer(n)), {
        discard: true
      })
    )
    for (let i = 0; i < times; i++) {
      yield* ping.offer(i)
      yield* pong.take
    }
    yield* fiber.await
  })

/** Turns that the event loop had while the effect ran. */
const turnsDuring = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    let turns = 0
    let running = true
    const turn = () => {
      turns++
      if (running) setImmediate(turn)
    }
    setImmediate(turn)
    return Effect.map(
      Effect.ensuring(
        effect,
        Effect.sync(() => {
          running = false
        })
      ),
      () => turns
    )
  })

describe("Scheduler", () => {
  it.live("lets the event loop have its turn while fibers hand work to each other", () =>
    Effect.gen(function* () {
      const turns = yield* Scheduler.withScheduler(turnsDuring(pingPong(2_000)))
      // Each hand-over is at least one batch, so 2,000 of them need more than 2,000 / BATCHES_PER_TURN turns.
      assert.isAbove(turns, 2_000 / Scheduler.BATCHES_PER_TURN)
    })
  )

  it.live("goes to the fibers that an effect forks", () =>
    Effect.gen(function* () {
      const turns = yield* Effect.flatten(
        Effect.map(Effect.fork(turnsDuring(pingPong(1_000))), (fiber) => Effect.flatten(fiber.await))
      )
      assert.isAbove(turns, 1_000 / Scheduler.BATCHES_PER_TURN)
    }).pipe(Effect.provide(Scheduler.layer))
  )
})
