/**
 * The scheduler that every program runs on. Effect 3.20 and later give each fiber its own queue of microtasks, so fibers
 * that hand work to each other never let timers and sockets have their turn. This one shares a budget among all fibers:
 * after {@link BATCHES_PER_TURN} batches the rest waits for the next turn of the event loop.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scheduler from "effect/Scheduler"

/** Batches of fiber work before the event loop has its turn: a batch is rarely longer than a millisecond. */
export const BATCHES_PER_TURN = 16

/** A scheduler of its own; programs want the shared {@link scheduler}. */
const make = (): Scheduler.Scheduler => {
  let batches = 0
  let counting = false
  const nextTurn = () => {
    counting = false
    batches = 0
  }
  return Scheduler.makeBatched((run) => {
    if (!counting) {
      counting = true
      setImmediate(nextTurn)
    }
    if (batches < BATCHES_PER_TURN) {
      batches++
      queueMicrotask(run)
    } else {
      setImmediate(run)
    }
  })
}

/** The scheduler of this process. */
export const scheduler: Scheduler.Scheduler = make()

/** Runs an effect, and all that it forks, on {@link scheduler}. */
export const withScheduler = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withScheduler(effect, scheduler)

/** The same for whatever runs below a layer. */
export const layer: Layer.Layer<never> = Layer.setScheduler(scheduler)
