/** Figures of moving bytes: one bulk stream against the three yardsticks, eight streams against one. */
import * as Effect from "effect/Effect"
import type { Ports } from "./Contenders.ts"
import type { Figure } from "./Figure.ts"
import { median } from "./Figure.ts"
import { measure } from "./Job.ts"

const ROUNDS = 5
const MEGABYTES = 400

/** Moved once by everybody before anything counts: code gets compiled, windows open. */
const WARM_UP_MEGABYTES = 150

export interface Everybody {
  readonly ours: Ports
  readonly plain: Ports
  readonly sshJump: Ports
  readonly sshDirect: Ports
}

export const rate = (ports: Ports, direction: "up" | "down", streams = 1, megabytes = MEGABYTES) =>
  Effect.map(measure({ what: "bulk", bulk: ports.bulk, streams, megabytes, direction }), (m) => m.rate ?? Number.NaN)

/**
 * Contenders take turns, and a ratio is taken within its round: what else the computer does then weighs on both of its
 * sides. The figure is the median of the rounds.
 */
export const throughput = (everybody: Everybody, direction: "up" | "down") =>
  Effect.gen(function* () {
    for (const ports of Object.values(everybody)) yield* rate(ports, direction, 1, WARM_UP_MEGABYTES)
    const rounds = yield* Effect.forEach(Array.from({ length: ROUNDS }), () =>
      Effect.all({
        plain: rate(everybody.plain, direction),
        ours: rate(everybody.ours, direction),
        sshJump: rate(everybody.sshJump, direction),
        sshDirect: rate(everybody.sshDirect, direction),
        eight: rate(everybody.ours, direction, 8)
      })
    )
    type Column = keyof (typeof rounds)[number]
    const column = (name: Column) => median(rounds.map((round) => round[name]))
    const ratio = (name: string, title: string, over: Column, under: Column, atLeast: number): Figure => ({
      name: `${name}-${direction}`,
      title: `${title}, ${direction === "up" ? "to" : "from"} the service`,
      value: median(rounds.map((round) => round[over] / round[under])),
      unit: "x",
      bound: { atLeast },
      details: `${column(over).toFixed(0)} and ${column(under).toFixed(0)} MB/s`
    })
    return [
      ratio("bulk-plain", "one bulk stream over a plain relay", "ours", "plain", 0.55),
      ratio("bulk-jump", "one bulk stream over ssh -J -L", "ours", "sshJump", 1.2),
      ratio("bulk-direct", "one bulk stream over ssh -L", "ours", "sshDirect", 0.5),
      ratio("bulk-eight", "eight streams over one", "eight", "ours", 0.9)
    ]
  })
