import * as Fs from "node:fs/promises"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Change } from "../../src/policy/Change.ts"
import { identitiesOf, machinesOf } from "../../src/policy/Identity.ts"
import * as HubIdentities from "../../src/store/HubIdentities.ts"
import { change, edit, fileOf, read, token } from "./hubFile.ts"

const people = 10_000
const machines = 5_000
const grantsPerMachine = 10

const text = () => {
  const lines = ["hubId: h", "auth:", "  revision: 1", "  identities:"]
  const identity = (id: string, role: string) =>
    lines.push(`    ${id}: {"role":"${role}","token":"sha256:${token(id).tokenHash}","prefix":"${id.slice(0, 8)}"}`)
  identity("owner", "owner")
  for (let n = 0; n < people; n++) identity(`u${n}`, "user")
  lines.push("  machines:")
  for (let n = 0; n < machines; n++) {
    const grants = Array.from({ length: grantsPerMachine }, (_, g) => ({
      id: `u${(n * grantsPerMachine + g * 7) % people}`
    }))
    lines.push(`    m${n}: ${JSON.stringify({ connect: grants })}`)
  }
  return `${lines.join("\n")}\n`
}

/** Runs an effect, and says how long it took and how long the event loop was held at most meanwhile. */
const measured = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    let longest = 0
    let last = performance.now()
    const look = () => {
      const now = performance.now()
      longest = Math.max(longest, now - last)
      last = now
    }
    let running = true
    const again = () => {
      look()
      if (running) setImmediate(again)
    }
    setImmediate(again)
    const from = performance.now()
    const value = yield* effect
    const took = performance.now() - from
    look()
    running = false
    return { value, took, longest }
  })

const median = (numbers: ReadonlyArray<number>) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0

describe("HubIdentities with 10,000 identities and 50,000 grants", () => {
  it.scopedLive(
    "loads at once, changes at the cost of a write, and takes in an edit without holding others up",
    () =>
      Effect.gen(function* () {
        const path = yield* fileOf(text())
        // As a yardstick: reading the same lines with the JSON parser alone.
        const plain = yield* measured(
          Effect.map(read(path), (content) =>
            content.split("\n").map((line) => {
              const at = line.indexOf("{")
              const parsed: unknown = at < 0 ? undefined : JSON.parse(line.slice(at))
              return parsed
            })
          )
        )
        const first = yield* measured(HubIdentities.make(path))
        const store = first.value
        assert.strictEqual(identitiesOf(store.current()).length, people + 1)
        assert.strictEqual(machinesOf(store.current(), "u7").length, 5)
        const changes: Array<{ readonly took: number; readonly longest: number }> = []
        for (let n = 0; n < 40; n++) {
          const what = Change.Grant({ id: `u${n * 13}`, machine: `m${n * 97}`, permissions: ["manage"] })
          const { longest, took } = yield* measured(change(store, what))
          changes.push({ took, longest })
        }
        yield* edit(path, (content) => content.replace(/ {4}u17: .*\n/, ""))
        const refreshed = yield* measured(store.refresh)
        assert.deepStrictEqual(
          refreshed.value.changes.map(({ id }) => id),
          ["u17"]
        )
        const figures = {
          size: (yield* Effect.promise(() => Fs.stat(path))).size,
          plain: plain.took,
          load: first.took,
          change: median(changes.map(({ took }) => took)),
          changeHeld: median(changes.map(({ longest }) => longest)),
          refresh: refreshed.took,
          refreshHeld: refreshed.longest
        }
        assert.isBelow(figures.load, 60 * figures.plain, JSON.stringify(figures))
        assert.isBelow(figures.changeHeld, figures.plain, JSON.stringify(figures))
        assert.isBelow(figures.refreshHeld, 3 * figures.plain, JSON.stringify(figures))
      }),
    20_000
  )
})
