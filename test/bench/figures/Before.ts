/** Figures of one checkout beside another: what a change costs in bytes a second and in round trips. */
import * as Effect from "effect/Effect"
import type { Ports } from "./Contenders.ts"
import type { Figure } from "./Figure.ts"
import { median } from "./Figure.ts"
import { measure } from "./Job.ts"
import { rate } from "./Throughput.ts"

const ROUNDS = 15
const WARM_UP_MEGABYTES = 300
const PROBES = 4_000

/** Both take turns, and who begins changes with each round; a ratio is taken within its round. */
const inTurns = <A, E, R>(round: number, now: Effect.Effect<A, E, R>, other: Effect.Effect<A, E, R>) =>
  round % 2 === 0
    ? Effect.all({ now, other })
    : Effect.map(Effect.all({ other, now }), ({ now, other }) => ({ now, other }))

export const before = (now: Ports, other: Ports) =>
  Effect.gen(function* () {
    const bulk = (direction: "up" | "down") =>
      Effect.gen(function* () {
        for (const ports of [now, other]) yield* rate(ports, direction, 1, WARM_UP_MEGABYTES)
        const rounds = yield* Effect.forEach(Array.from({ length: ROUNDS }), (_, round) =>
          inTurns(round, rate(now, direction), rate(other, direction))
        )
        const column = (name: "now" | "other") => median(rounds.map((round) => round[name])).toFixed(0)
        const figure: Figure = {
          name: `before-${direction}`,
          title: `one bulk stream over that of the other checkout, ${direction === "up" ? "to" : "from"} the service`,
          value: median(rounds.map((round) => round.now / round.other)),
          unit: "x",
          bound: { atLeast: 0.95 },
          details: `${column("now")} and ${column("other")} MB/s`
        }
        return figure
      })
    const roundTrip = Effect.gen(function* () {
      const rounds = yield* Effect.forEach(Array.from({ length: ROUNDS }), () =>
        measure({ what: "idle", ours: now.echo, plain: other.echo, probes: PROBES })
      )
      const values = rounds.map(({ p50 = Number.NaN, yardstick = Number.NaN }) => ({ now: p50, other: yardstick }))
      const column = (name: "now" | "other") => median(values.map((value) => value[name])).toFixed(3)
      const figure: Figure = {
        name: "before-idle",
        title: "idle round trip, median, over that of the other checkout",
        value: median(values.map((value) => value.now / value.other)),
        unit: "x",
        bound: { atMost: 1.1 },
        details: `${column("now")} and ${column("other")} ms`
      }
      return figure
    })
    return [yield* bulk("up"), yield* bulk("down"), yield* roundTrip]
  })
