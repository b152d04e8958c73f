/**
 * Hub, agent and client in memory under faults that a seed chooses. Whatever happens, each stream delivers exactly its bytes
 * in order, or ends with an error at both ends; and nothing is left. TELA_SEED replays one seed and shows its faults.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import type { ConnectEvent } from "../../src/client/ConnectEvent.ts"
import * as FaultSchedule from "../../src/testkit/FaultSchedule.ts"
import * as MemoryTela from "../../src/testkit/MemoryTela.ts"
import * as Seed from "../../src/testkit/Seed.ts"
import { KeepBudget } from "../../src/tunnel/KeepBudget.ts"
import * as Traffic from "./Traffic.ts"

const LONG = process.env["TELA_LONG"] === "1"
const ONE = process.env["TELA_SEED"]
const SEEDS = ONE !== undefined ? [Number(ONE)] : Array.from({ length: LONG ? 1_000 : 40 }, (_, i) => i + 1)

/** Schedules at a time; they wait for the network more than they compute. */
const AT_ONCE = LONG ? 16 : 8

/** How long connections wait for a program; for one that was killed, in vain. Longer than it takes to notice a dead path. */
const GRACE = 30_000

/** From the last fault to the end of every stream. */
const PATIENCE = 2 * GRACE

/** Every third seed leaves the programs alone: then no stream may be lost either. */
const restartsOf = (seed: number): ReadonlyArray<FaultSchedule.Restarted> =>
  seed % 3 === 0 ? [] : seed % 3 === 1 ? ["hub"] : ["hub", "agent", "client"]

const isLossless = (seed: number) => seed % 3 !== 2

const show = (event: ConnectEvent) => void process.stderr.write(`${JSON.stringify(event)}\n`)

const played = (seed: number) =>
  Effect.gen(function* () {
    const schedule = FaultSchedule.make(seed, { restarts: restartsOf(seed) })
    const told = `TELA_SEED=${seed} replays this\n${FaultSchedule.print(schedule)}`
    const scope = yield* Scope.make()
    const traffic = Traffic.make(Seed.make(seed ^ 0x5eed))
    const budget = new KeepBudget()
    const memory = budget.left
    const tela = yield* Scope.extend(
      MemoryTela.make({
        seed,
        resumeGrace: GRACE,
        budget,
        services: traffic.services,
        ...(ONE !== undefined && { onEvent: show })
      }),
      scope
    )
    const play = Effect.gen(function* () {
      yield* Effect.all([FaultSchedule.run(schedule, tela.network, tela.restart), traffic.run(tela)], {
        concurrency: 2
      })
      const over = traffic.over.pipe(
        Effect.timeoutFail({ duration: PATIENCE, onTimeout: () => new Error(`streams hang:\n${traffic.standing()}`) })
      )
      yield* over
      // What a program that was killed has not acknowledged is held for as long as it may come back.
      yield* Traffic.eventually(
        () => `something is held: ${JSON.stringify(tela.held())}`,
        () => {
          const { agent, client } = tela.held()
          return agent.streams + client.streams === 0 && agent.undelivered + client.undelivered === 0
        },
        PATIENCE
      )
      // A service may have been reached for a program that had gone by then; it has been told, too.
      yield* over
      assert.deepStrictEqual(traffic.problems(isLossless(seed)), [])
    })
    const exit = yield* Effect.exit(play)
    yield* Scope.close(scope, Exit.void)
    if (Exit.isFailure(exit)) {
      process.stderr.write(`${told}\n`)
      return yield* exit
    }
    return yield* Traffic.eventually(
      () => `seed ${seed}: ${tela.network.connections()} connections stand, ${memory - budget.left} bytes are kept`,
      () => tela.network.connections() === 0 && budget.left === memory
    )
  })

/** Sockets and timers of this process, but for those of the test itself. */
const resources = () =>
  process
    .getActiveResourcesInfo()
    .filter((name) => name !== "Immediate")
    .toSorted()

/** Effect's own count. */
const fibers = Metric.counter("effect_fiber_active")
const active = Effect.map(Metric.value(fibers), ({ count }) => Number(count))

describe("streams under faults", () => {
  it.live(
    `${SEEDS.length} seeded schedules: whole, or an error at both ends, and nothing left`,
    () =>
      Effect.gen(function* () {
        const before = resources()
        const running = yield* active
        const quiet = ONE === undefined ? Logger.remove(Logger.defaultLogger) : Layer.empty
        yield* Effect.provide(Effect.forEach(SEEDS, played, { concurrency: AT_ONCE, discard: true }), quiet)
        yield* Traffic.eventually(
          () => `resources stand: ${resources().join(", ")}`,
          () => resources().length <= before.length
        )
        assert.isAtMost(yield* active, running, "fibers")
      }),
    LONG ? 1_800_000 : 120_000
  )
})
