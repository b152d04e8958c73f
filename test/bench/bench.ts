/**
 * `npm run bench`: every speed that Tela promises, as a ratio to yardsticks of the same run wherever one exists. Prints
 * a table; exits 1 when a figure does not hold.
 *
 * Run it on a computer that does nothing else; `npm run bench -- --help` says what can be chosen.
 */
// The client whose access ends is in this process.
import "./figures/asPrograms.ts"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { parseArgs } from "node:util"
import * as Scheduler from "../../src/telemetry/Scheduler.ts"
import { authority } from "./figures/Authority.ts"
import { before } from "./figures/Before.ts"
import * as Contenders from "./figures/Contenders.ts"
import type { Figure } from "./figures/Figure.ts"
import { holds, table } from "./figures/Figure.ts"
import { following } from "./figures/Following.ts"
import { idleMemory } from "./figures/IdleMemory.ts"
import * as Latency from "./figures/Latency.ts"
import { type Reader, revocation, ways } from "./figures/Revocation.ts"
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

const usage = `npm run bench -- [--only name[,name]] [--trials n] [--ways way[,way]] [--before folder] [--json]

  --only    measure these alone: throughput, idle, beside-1, beside-8, version, connect, idle-memory, authority, logs,
            revocation-fast, revocation-slow, before
  --trials  how often access is ended in each way, by revocation-fast and revocation-slow; 25 unless given
  --ways    of the ways in which access ends, these alone: ${Object.keys(ways).join(", ")}
  --before  the folder of another checkout that has been built, which "before" measures beside this one
  --json    print JSON
`

/** Ends for a mistake in how it was called, before anything is measured. */
const refuse = (sentence: string): never => {
  process.stderr.write(`bench: ${sentence}\n\n${usage}`)
  process.exit(2)
}

const flagsOf = () => {
  try {
    return parseArgs({
      options: {
        before: { type: "string" },
        only: { type: "string" },
        trials: { type: "string", default: "25" },
        ways: { type: "string" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" }
      }
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

const flags = flagsOf()
if (flags.help) {
  process.stdout.write(usage)
  process.exit(0)
}
const trials = /^[1-9]\d{0,5}$/.test(flags.trials)
  ? Number(flags.trials)
  : refuse(`--trials ${flags.trials}: not a number`)
const unknownWay = flags.ways?.split(",").find((name) => !Object.hasOwn(ways, name))
if (unknownWay !== undefined) refuse(`--ways: access ends in no way called ${unknownWay}`)

const ended = (reader: Reader) => revocation(trials, [reader], flags.ways?.split(","))

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

const chosen = names.map((name) => {
  const measurement = measurements[name]
  if (measurement !== undefined) return { name, measurement }
  return refuse(name === "before" ? "before needs --before FOLDER" : `--only: no measurement is called ${name}`)
})

const main = Effect.gen(function* () {
  const figures: Array<Figure> = []
  for (const { measurement, name } of chosen) {
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

const fiber = Effect.runFork(Scheduler.withScheduler(main))
// contenders are other processes: Ctrl-C ends them too, by ending their scopes
process.once("SIGINT", () => fiber.unsafeInterruptAsFork(fiber.id()))
fiber.addObserver((exit) => {
  if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) console.error(Cause.pretty(exit.cause))
  process.exit(Exit.isSuccess(exit) && exit.value ? 0 : 1)
})
