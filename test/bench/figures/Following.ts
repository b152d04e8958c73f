/**
 * What `tela admin agent logs -follow` costs: tunnels of the same agent beside it, and the hub's memory. The agent logs as
 * much whether somebody follows or not.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import * as Program from "../../e2e/harness/Program.ts"
import * as Tela from "../../e2e/harness/Tela.ts"
import { freePort } from "../../e2e/harness/Workspace.ts"
import * as Contenders from "./Contenders.ts"
import type { Figure } from "./Figure.ts"
import { median } from "./Figure.ts"
import { load } from "./Job.ts"
import * as LiveHeap from "./LiveHeap.ts"

/** How much a chatty agent logs: one line for each connection through its upstream, with -v. */
const LINES_PER_SECOND = 200

/** Stretches with a follower, each between two without one, which are its yardstick; and a few of its answers long. */
const ROUNDS = 20
const STRETCH = 3_000
/** What came while nobody followed, less than an agent remembers, is caught up with by then. */
const SETTLING = 1_000
const WARM_UP = 5_000

/** How long the log is followed for the hub's memory: about 1 MiB of text. */
const FOLLOWED = 40_000

const decodeRate = Schema.decodeSync(Schema.parseJson(Schema.Struct({ rate: Schema.Number })))

/** `tela admin agent logs -follow`, started and at work. It follows only while it may run. */
const follower = (ours: Contenders.Ours) =>
  Effect.gen(function* () {
    const home = yield* temporaryFolder
    const program = yield* Program.start({
      name: "tela admin agent logs -follow",
      command: Tela.bin("tela"),
      args: ["admin", "agent", "logs", "-follow", "-machine", Contenders.MACHINE, "-hub", ours.hub.url],
      env: { HOME: home, TELA_HOME: home, TELA_TOKEN: ours.token }
    })
    // A program that is stopped could not end.
    yield* Effect.addFinalizer(() => program.signal("SIGCONT"))
    yield* program.expect(/connection ended/, { on: "stdout" })
    const lines = () => program.output("stdout").split("\n").length
    return {
      lines,
      note: () => program.output("stderr"),
      goOn: program.signal("SIGCONT"),
      stop: program.signal("SIGSTOP")
    }
  })

/** Shares of tunnel throughput with a follower, one a round. */
const beside = (ours: Contenders.Ours) =>
  Effect.gen(function* () {
    const { goOn, lines, note, stop } = yield* follower(ours)
    const meter = yield* Program.start({ ...load({ what: "metered", bulk: ours.bulk }), talks: true })
    const told = Effect.gen(function* () {
      const from = meter.mark("stdout")
      yield* meter.write("\n")
      const [line] = yield* meter.expect(/^\{.*\}$/m, { on: "stdout", from })
      return decodeRate(line).rate
    })
    const stretch = (toggle: Effect.Effect<void>) =>
      Effect.gen(function* () {
        yield* toggle
        yield* Effect.delay(told, SETTLING)
        return yield* Effect.delay(told, STRETCH)
      })
    yield* Effect.sleep(WARM_UP)
    const before = lines()
    const rounds: Array<{ readonly followed: number; readonly alone: number }> = []
    let earlier = yield* stretch(stop)
    for (let round = 0; round < ROUNDS; round++) {
      const followed = yield* stretch(goOn)
      const later = yield* stretch(stop)
      rounds.push({ followed, alone: (earlier + later) / 2 })
      earlier = later
    }
    return { rounds, lines: lines() - before, note: note() }
  }).pipe(Effect.scoped)

/** Bytes by which the hub grows while somebody follows. */
const growth = (ours: Contenders.Ours) =>
  Effect.gen(function* () {
    const { lines } = yield* follower(ours)
    yield* Effect.sleep(WARM_UP)
    const from = yield* LiveHeap.held(ours.hub.program)
    const before = lines()
    yield* Effect.sleep(FOLLOWED)
    const to = yield* LiveHeap.held(ours.hub.program)
    return { from, to, lines: lines() - before }
  }).pipe(Effect.scoped)

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1)

export const following = Effect.scoped(
  Effect.gen(function* () {
    const service = yield* Contenders.target
    const chattyUpstream = yield* freePort()
    const ours = yield* Contenders.ours(service, { chattyUpstream, hubEnv: LiveHeap.inspected })
    const visitor = yield* Program.start(load({ what: "visits", port: chattyUpstream, perSecond: LINES_PER_SECOND }))
    yield* visitor.expect(/visiting/)

    const { lines, note, rounds } = yield* beside(ours)
    const memory = yield* growth(ours)
    const shares = rounds.map(({ alone, followed }) => followed / alone)
    const sorted = shares.toSorted((a, b) => a - b)
    const quarter = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN).toFixed(3)
    const column = (name: "followed" | "alone") => median(rounds.map((round) => round[name])).toFixed(0)
    const figures: ReadonlyArray<Figure> = [
      {
        name: "logs-bulk",
        title: `one bulk stream while the agent's log of ${LINES_PER_SECOND} lines/s is followed, over the same alone`,
        value: median(shares),
        unit: "x",
        bound: { atLeast: 0.98 },
        details: `${column("followed")} and ${column("alone")} MB/s; ${ROUNDS} rounds, quartiles ${quarter(0.25)} ${quarter(0.75)}; ${lines} lines${note === "" ? "" : `; ${note.trim()}`}`
      },
      {
        name: "logs-memory",
        title: `what the hub holds more after ${FOLLOWED / 1_000} s of following`,
        value: (memory.to - memory.from) / 2 ** 20,
        unit: "MiB",
        bound: { atMost: 0.5 },
        details: `from ${mebibytes(memory.from)} to ${mebibytes(memory.to)} MiB, garbage aside; ${memory.lines} lines`
      }
    ]
    return figures
  })
)
