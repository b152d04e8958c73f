/**
 * `npm run bench`: every speed that Tela promises, as a ratio to yardsticks of the same run wherever one exists. Prints
 * a table; exits 1 when a figure does not hold.
 *
 *     npm run bench -- [--only name[,name]] [--trials n] [--ways way[,way]] [--before folder] [--json]
 *
 * Run it on a computer that does nothing else. Names: throughput, idle, beside-1, beside-8, version, connect,
 * idle-memory, authority, logs (what following one costs), revocation-fast and revocation-slow (by what reads; --trials says
 * how many for each way in which access ends, and --ways which of these), and with --before, the folder of another
 * checkout that has been built, before: what this one costs beside that one.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { parseArgs } from "node:util"
import { authority } from "./figures/Authority.ts"
import { before } from "./figures/Before.ts"
import * as Contenders from "./figures/Contenders.ts"
import type { Figure } from "./figures/Figure.ts"
import { holds, table } from "./figures/Figure.ts"
import { following } from "./figures/Following.ts"
import { idleMemory } from "./figures/IdleMemory.ts"
import * as Latency from "./figures/Latency.ts"
import { type Reader, revocation } from "./figures/Revocation.ts"
import * as Startup from "./figures/Startup.ts"
import { throughput } from "./figures/Throughput.ts"

const between = <A>(
  use: (ours: Contenders.Ours, plain: Contenders.Ports, service: Contenders.Ports) => Effect.Effect<A, unknown, never>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const service = yield* Contenders.target
      const plain = yield* Contenders.plain(service)
      const ours = yield* Contenders.ours(service)
      return yield* use(ours, plain, service)
    })
  )

const againstSsh = Effect.scoped(
  Effect.gen(function* () {
    const service = yield* Contenders.target
    const everybody = {
      ours: yield* Contenders.ours(service),
      plain: yield* Contenders.plain(service),
      sshJump: yield* Contenders.sshJump(service),
      sshDirect: yield* Contenders.sshDirect(service)
    }
    return [...(yield* throughput(everybody, "up")), ...(yield* throughput(everybody, "down"))]
  })
)

const against = (checkout: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const service = yield* Contenders.target
      return yield* before(yield* Contenders.ours(service), yield* Contenders.ours(service, { checkout }))
    })
  )

const { values: flags } = parseArgs({
  options: {
    before: { type: "string" },
    only: { type: "string" },
    trials: { type: "string", default: "25" },
    ways: { type: "string" },
    json: { type: "boolean" }
  }
})

const ended = (reader: Reader) => revocation(Number(flags.trials), [reader], flags.ways?.split(","))

const measurements: Readonly<Record<string, Effect.Effect<ReadonlyArray<Figure>, unknown>>> = {
  throughput: againstSsh,
  idle: between(Latency.idle),
  "beside-1": between((ours, plain) => Latency.beside(ours, plain, 1, 10)),
  "beside-8": between((ours, plain) => Latency.beside(ours, plain, 8, 15)),
  version: Startup.version,
  connect: between(Startup.connect),
  "idle-memory": idleMemory,
  authority,
  logs: following,
  "revocation-fast": ended("fast"),
  "revocation-slow": ended("slow"),
  ...(flags.before !== undefined && { before: against(flags.before) })
}

const names = flags.only?.split(",") ?? Object.keys(measurements)

const main = Effect.gen(function* () {
  const figures: Array<Figure> = []
  for (const name of names) {
    const measurement = measurements[name]
    if (measurement === undefined) {
      return yield* Effect.fail(new Error(`no measurement ${name}; there are ${Object.keys(measurements).join(", ")}`))
    }
    if (!flags.json) process.stderr.write(`${name} ...\n`)
    figures.push(...(yield* measurement))
  }
  console.log(
    flags.json
      ? JSON.stringify(
          figures.map((f) => ({ ...f, holds: holds(f) })),
          null,
          2
        )
      : table(figures)
  )
  return figures.every(holds)
})

const fiber = Effect.runFork(main)
// contenders are other processes: Ctrl-C ends them too, by ending their scopes
process.once("SIGINT", () => fiber.unsafeInterruptAsFork(fiber.id()))
fiber.addObserver((exit) => {
  if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) console.error(Cause.pretty(exit.cause))
  process.exit(Exit.isSuccess(exit) && exit.value ? 0 : 1)
})
