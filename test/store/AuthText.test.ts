import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { apply, Change } from "../../src/policy/Change.ts"
import type { MachinePermission } from "../../src/policy/Identity.ts"
import * as AuthLine from "../../src/store/AuthLine.ts"
import * as AuthText from "../../src/store/AuthText.ts"
import { begin } from "../../src/store/AuthBegin.ts"
import * as HubReader from "../../src/store/HubReader.ts"
import * as Snapshots from "../../src/store/internal/snapshots.ts"
import { example, plain, token } from "./hubFile.ts"

const known: HubReader.Known = { text: AuthText.empty, snapshot: Snapshots.empty }
const textOf = (file: AuthText.AuthText) => Buffer.concat(AuthText.pieces(file)).toString()
const readText = (text: string) =>
  Effect.map(HubReader.read("telahubd.yaml", text, known), (reading) => ({
    reading,
    snapshot: begin("telahubd.yaml", reading).snapshot
  }))

/** Names that YAML might take for something else. */
const names = [
  "alice",
  "bob",
  "carl",
  "null",
  "yes",
  "12",
  "1e3",
  "a b",
  "ä: #",
  '"',
  "-",
  "x.y@z",
  "*",
  "{",
  "'",
  "a: {b",
  '"x": {'
]
const machines = ["barn", "mill", "*", "on", "0x1f"]

const name = FastCheck.constantFrom(...names)
const machine = FastCheck.constantFrom(...machines)
const permission = FastCheck.constantFrom<MachinePermission>("register", "connect", "manage")
const instant = FastCheck.option(FastCheck.integer({ min: Date.now() + 1_000, max: 4e12 }), { nil: undefined })

const oneChange: FastCheck.Arbitrary<Change> = FastCheck.oneof(
  FastCheck.tuple(name, instant).map(([id, expiresAt]) =>
    Change.Add({ id, role: "user", token: token(id), grants: [], ...(expiresAt !== undefined && { expiresAt }) })
  ),
  name.map((id) => Change.Remove({ id })),
  name.map((id) => Change.Revoke({ id })),
  FastCheck.tuple(name, name).map(([id, rename]) => Change.Update({ id, rename })),
  FastCheck.tuple(name, FastCheck.nat()).map(([id, n]) => Change.Rotate({ id, token: token(`${id} ${n}`) })),
  FastCheck.tuple(
    name,
    machine,
    FastCheck.uniqueArray(permission, { minLength: 1 }),
    FastCheck.option(FastCheck.uniqueArray(FastCheck.constantFrom("ssh", "22", "a # b"), { minLength: 1 }), {
      nil: undefined
    }),
    instant
  ).map(([id, on, permissions, services, expiresAt]) =>
    Change.Grant({
      id,
      machine: on,
      permissions,
      ...(services !== undefined && { services }),
      ...(expiresAt !== undefined && { expiresAt })
    })
  ),
  FastCheck.tuple(name, machine).map(([id, on]) => Change.RevokeMachine({ id, machine: on }))
)

describe("AuthText", () => {
  it.effect("is, unchanged, the file it was read from", () =>
    Effect.gen(function* () {
      const { reading } = yield* readText(example)
      assert.strictEqual(textOf(reading.text), example)
      assert.isFalse(reading.converted)
    })
  )

  it("writes a key so that it is read as that text", () => {
    for (const key of names) {
      const line = AuthLine.format({ key, body: "{}", trail: " # x" })
      assert.deepStrictEqual(AuthLine.parse(line.slice(0, -1)), { key, body: "{}", trail: " # x" })
    }
  })

  it.effect.prop(
    "reads, after any changes, as what is in force",
    [FastCheck.array(oneChange, { maxLength: 40 })],
    ([changes]) =>
      Effect.gen(function* () {
        const first = yield* readText(example)
        let { snapshot } = first
        let text = first.reading.text
        for (const change of changes) {
          const applied = Either.getOrUndefined(apply(snapshot, change, { by: "owner", now: Date.now() }))
          if (applied === undefined) continue
          snapshot = applied.snapshot
          const renamed = new Map(applied.identity.id === change.id ? [] : [[applied.identity.id, change.id] as const])
          const { revision } = snapshot
          text = AuthText.change(text, { revision, renamed, ...AuthText.bodiesOf(snapshot, applied) })
        }
        const again = yield* readText(textOf(text))
        assert.isFalse(again.reading.converted)
        assert.deepStrictEqual(plain(again.snapshot), plain(snapshot))
        assert.strictEqual(again.snapshot.revision, snapshot.revision)
        assert.strictEqual(textOf(again.reading.text), textOf(text))
      }),
    { fastCheck: { numRuns: 150 } }
  )
})
