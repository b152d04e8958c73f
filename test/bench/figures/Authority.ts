/** What 10,000 identities and 50,000 grants cost: a decision, a list, a change, a start, and what a change costs the relay. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import * as HubConfig from "../../e2e/harness/HubConfig.ts"
import * as Program from "../../e2e/harness/Program.ts"
import * as Tela from "../../e2e/harness/Tela.ts"
import * as BareChange from "./BareChange.ts"
import { script } from "./Contenders.ts"
import type { Figure } from "./Figure.ts"
import { median } from "./Figure.ts"
import * as ManyIdentities from "./ManyIdentities.ts"

const LISTS = 10
const CHANGES = 300
const STARTS = 5
/** Changes that are not counted: by then the code is compiled. */
const WARM_UP = 50
/** Pause between two changes: below the rate at which one identity may ask. */
const PAUSE = 25

const decodePort = Schema.decodeSync(Schema.parseJson(Schema.Struct({ port: Schema.Number })))
const decodeDecision = Schema.decodeSync(Schema.parseJson(Schema.Struct({ micros: Schema.Number })))
const Turn = Schema.Struct({ own: Schema.Number, uncollected: Schema.Number, whole: Schema.Number })
const decodeLongest = Schema.decodeSync(Schema.parseJson(Schema.Struct({ longest: Turn })))

const timed = async (port: number, owner: string, method: string, path: string, body?: unknown): Promise<number> => {
  const started = performance.now()
  const response = await fetch(`http://127.0.0.1:${port}/api/admin/${path}`, {
    method,
    headers: { authorization: `Bearer ${owner}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) })
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return performance.now() - started
}

const quantile = (values: ReadonlyArray<number>, share: number): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1] ?? Number.NaN

const spread = (values: ReadonlyArray<number>): string =>
  `p50 ${median(values).toFixed(2)}, p99 ${quantile(values, 0.99).toFixed(2)}`

const ownOf = (turns: ReadonlyArray<typeof Turn.Type>): ReadonlyArray<number> => turns.map(({ own }) => own)

const uncollectedOf = (turns: ReadonlyArray<typeof Turn.Type>): ReadonlyArray<number> =>
  turns.map(({ uncollected }) => uncollected)

/** From starting `telahubd` to its listening. */
const startOf = (file: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const started = performance.now()
      yield* Tela.startHub(file)
      return performance.now() - started
    })
  )

export const authority = Effect.scoped(
  Effect.gen(function* () {
    const owner = HubConfig.token()
    const folder = yield* temporaryFolder
    const file = Path.join(folder, "telahubd.yaml")
    const text = ManyIdentities.text(owner)
    Fs.writeFileSync(file, text, { mode: 0o600 })
    const starts = yield* Effect.forEach(Array.from({ length: STARTS }), () => startOf(file))

    const hub = yield* Program.start({ ...script("manyIdentities", [file]), talks: true })
    const [line] = yield* hub.expect(/^\{"port":\d+\}$/m, { on: "stdout" })
    const { port } = decodePort(line)
    const told = (word: string, answer: RegExp) =>
      Effect.gen(function* () {
        const from = hub.mark("stdout")
        yield* hub.write(`${word}\n`)
        const [text] = yield* hub.expect(answer, { on: "stdout", from })
        return text
      })
    const { micros } = decodeDecision(yield* told("decide", /^\{"micros".*\}$/m))
    /** The longest turn of the hub's event loop while something is done. */
    const longestOf = (work: Effect.Effect<unknown, Program.ProgramFailed>) =>
      Effect.gen(function* () {
        yield* told("watch", /^\{"watching".*\}$/m)
        yield* work
        return decodeLongest(yield* told("longest", /^\{"longest".*\}$/m)).longest
      })

    /** One grant changed, another one each time. */
    const change = (i: number) => {
      const grant = `access/${ManyIdentities.userOf(i * 37 + 1)}/machines/${ManyIdentities.machineOf(i * 91)}`
      return timed(port, owner, "PUT", grant, { permissions: ["connect", "manage"] })
    }
    const bareChange = BareChange.make(folder, text.length)
    const bare: Array<number> = []
    const changes: Array<number> = []
    const held: Array<typeof Turn.Type> = []
    const heldByReading: Array<typeof Turn.Type> = []
    const heldByArithmetic: Array<typeof Turn.Type> = []
    for (let i = 0; i < WARM_UP + CHANGES; i++) {
      const alone = yield* Effect.promise(bareChange)
      const took = yield* Effect.promise(() => change(2 * i))
      yield* Effect.sleep(PAUSE)
      const reading = yield* longestOf(
        Effect.promise(() => timed(port, owner, "GET", `access/${ManyIdentities.userOf(i * 37 + 1)}`))
      )
      yield* Effect.sleep(PAUSE)
      const changing = yield* longestOf(Effect.promise(() => change(2 * i + 1)))
      yield* Effect.sleep(PAUSE)
      const computing = yield* longestOf(
        Effect.all([Effect.promise(bareChange), told("compute", /^\{"computed".*\}$/m)], { concurrency: 2 })
      )
      if (i < WARM_UP) continue
      bare.push(alone)
      changes.push(took)
      heldByReading.push(reading)
      held.push(changing)
      heldByArithmetic.push(computing)
    }
    const lists: Array<number> = []
    for (let i = 0; i < LISTS; i++) lists.push(yield* Effect.promise(() => timed(port, owner, "GET", "access")))

    const size = `${ManyIdentities.IDENTITIES} identities, ${ManyIdentities.GRANTS} grants`
    const figures: ReadonlyArray<Figure> = [
      {
        name: "authority-decision",
        title: "one decision of the policy",
        value: micros,
        unit: "us",
        bound: { atMost: 5 },
        details: size
      },
      {
        name: "authority-list",
        title: "the list of access, whole",
        value: median(lists),
        unit: "ms",
        bound: { atMost: 300 },
        details: `${LISTS} lists, longest ${Math.max(...lists).toFixed(0)} ms`
      },
      {
        name: "authority-change",
        title: "one grant changed, on disk and answered, p99",
        value: quantile(changes, 0.99),
        unit: "ms",
        bound: { atMost: 30 },
        details:
          `${CHANGES} changes, p50 ${median(changes).toFixed(1)} ms, ${(median(changes) / median(bare)).toFixed(1)} times ` +
          `that of a bare write of such a file: ${spread(bare)}`
      },
      {
        name: "authority-hold",
        title: "the longest turn of the event loop during one grant change, p99 of its own time",
        value: quantile(ownOf(held), 0.99),
        unit: "ms",
        bound: { atMost: 2 },
        details:
          `${spread(ownOf(held))}; a request that changes nothing ${spread(ownOf(heldByReading))}; ` +
          `nothing but arithmetic, beside a bare write ${spread(ownOf(heldByArithmetic))}; ` +
          `without the collection of garbage ${spread(uncollectedOf(held))}, ${spread(uncollectedOf(heldByReading))}, ` +
          `${spread(uncollectedOf(heldByArithmetic))}; with the time that others had the processor p99 ` +
          [held, heldByReading, heldByArithmetic]
            .map((turns) =>
              quantile(
                turns.map(({ whole }) => whole),
                0.99
              ).toFixed(2)
            )
            .join(", ")
      },
      {
        name: "authority-start",
        title: "telahubd from its start to listening",
        value: median(starts),
        unit: "ms",
        bound: { atMost: 1_000 },
        details: `${STARTS} starts, longest ${Math.max(...starts).toFixed(0)} ms`
      }
    ]
    return figures
  })
)
