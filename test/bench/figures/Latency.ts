/** Figures of 64-byte round trips: alone, and beside bulk streams that take all they can. */
import * as Effect from "effect/Effect"
import * as Program from "../../e2e/harness/Program.ts"
import type { Ports } from "./Contenders.ts"
import type { Figure } from "./Figure.ts"
import { median } from "./Figure.ts"
import { load, measure } from "./Job.ts"

const ROUNDS = 5
const IDLE_PROBES = 4_000
const BESIDE_SECONDS = 3

/** Bulk streams get going for this long before round trips beside them are counted. */
const HEAD_START = "500 millis"

/** Round trips on an otherwise idle tunnel, as a multiple of the plain relay's. */
export const idle = (ours: Ports, plain: Ports) =>
  Effect.gen(function* () {
    const rounds = yield* Effect.forEach(Array.from({ length: ROUNDS }), () =>
      Effect.map(
        measure({ what: "idle", ours: ours.echo, plain: plain.echo, probes: IDLE_PROBES }),
        ({ p50 = Number.NaN, yardstick = Number.NaN }) => ({ ours: p50, plain: yardstick })
      )
    )
    const column = (name: "ours" | "plain") => median(rounds.map((round) => round[name])).toFixed(3)
    const figure: Figure = {
      name: "idle",
      title: "idle round trip, median, over a plain relay",
      value: median(rounds.map((round) => round.ours / round.plain)),
      unit: "x",
      bound: { atMost: 1.5 },
      details: `${column("ours")} and ${column("plain")} ms`
    }
    return [figure]
  })

/** Round trips beside bulk streams. Where the computer is slow, a quarter of what the plain relay takes is enough. */
export const beside = (ours: Ports, plain: Ports, streams: number, milliseconds: number) =>
  Effect.gen(function* () {
    const p99 = (ports: Ports) =>
      Effect.scoped(
        Effect.gen(function* () {
          const flood = yield* Program.start(load({ what: "flood", bulk: ports.bulk, streams }))
          yield* flood.expect(/flooding/)
          yield* Effect.sleep(HEAD_START)
          const measured = yield* measure({ what: "paced", echo: ports.echo, seconds: BESIDE_SECONDS })
          return measured.p99 ?? Number.NaN
        })
      )
    const rounds = yield* Effect.forEach(Array.from({ length: ROUNDS }), () =>
      Effect.all({ plain: p99(plain), ours: p99(ours) })
    )
    const yardstick = median(rounds.map((round) => round.plain))
    const figure: Figure = {
      name: `beside-${streams}`,
      title: `round trip, 99th percentile, beside ${streams === 1 ? "one bulk stream" : `${streams} bulk streams`}`,
      value: median(rounds.map((round) => round.ours)),
      unit: "ms",
      bound: { atMost: Math.max(milliseconds, yardstick / 4) },
      details: `plain relay ${yardstick.toFixed(1)} ms; rounds ${rounds.map((r) => r.ours.toFixed(1)).join(" ")}`
    }
    return [figure]
  })
