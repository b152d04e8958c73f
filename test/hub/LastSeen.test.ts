/** What a hub's directory has from the hub before it. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Directory from "../../src/hub/Directory.ts"
import * as LastSeen from "../../src/hub/LastSeen.ts"
import { MACHINE_RETURN } from "../../src/protocol/Limits.ts"
import { Machines } from "../../src/store/Machines.ts"
import type { SeenMachine } from "../../src/store/Machines.ts"
import * as MachinesMemory from "../../src/store/MachinesMemory.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import { identity, register } from "./harness.ts"

const START = 1_000_000

/** The directory of a hub that starts now on what others have left. */
const starting = (machines: typeof Machines.Service) =>
  Effect.gen(function* () {
    const directory = yield* Directory.make
    yield* LastSeen.keep.pipe(
      Effect.provideService(Directory.Directory, directory),
      Effect.provideService(Machines, machines)
    )
    return directory
  })

const stored = Effect.map(Layer.build(MachinesMemory.layer), (context) => Context.get(context, Machines))

const enrol = (directory: typeof Directory.Directory.Service, name: string, more: object = {}, id = "agent") => {
  const agent: Directory.Agent = { carrier: MemoryCarrier.pair()[0], principal: identity(id) }
  const { token: _, ...said } = register({ machineName: name, ...more })
  const registration = directory.register(name, agent, { ...said, type: "register", tags: [] })
  assert(registration._tag === "Registered")
  return { agent, registration }
}

describe("a hub that starts", () => {
  it.scoped("lists what was there before, offline, as its agent described it", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(START)
      const machines = yield* stored
      const before = yield* starting(machines)
      enrol(before, "barn", { location: "cellar", identity: "1".repeat(64), capabilities: { resumes: true } })
      yield* TestClock.adjust(5_000)
      const after = yield* starting(machines)
      const barn = after.find("barn")
      assert.deepStrictEqual(
        { ...barn?.about },
        // Only an agent that is there can be held to it.
        { ...before.find("barn")?.about, serviceGrants: false }
      )
      assert.strictEqual(barn?.about.location, "cellar")
      assert.isUndefined(barn?.agent)
      assert.strictEqual(barn?.registeredAt, START)
      assert.strictEqual(barn?.lastSeen, START + 5_000)
      assert.deepStrictEqual([after.connected(), after.list().length], [0, 1])
    })
  )

  it.scoped("expects who was there in the last minute before, and nobody else", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(START)
      const machines = yield* stored
      const before = yield* starting(machines)
      const { agent } = enrol(before, "gone")
      before.leave("gone", agent)
      yield* TestClock.adjust(MACHINE_RETURN)
      const { agent: left } = enrol(before, "left")
      before.leave("left", left)
      enrol(before, "there")
      yield* TestClock.adjust(1)
      const now = START + MACHINE_RETURN + 1
      const after = yield* starting(machines)
      const expected = (name: string) => after.find(name)?.expectedUntil
      assert.strictEqual(expected("there"), now + MACHINE_RETURN)
      assert.strictEqual(expected("left"), now + MACHINE_RETURN)
      assert.strictEqual(expected("gone"), START)
    })
  )

  it.scoped("knows an agent that comes back as the one that was there, and keeps what it does not say again", () =>
    Effect.gen(function* () {
      const machines = yield* stored
      const key = "1".repeat(64)
      enrol(yield* starting(machines), "barn", { location: "cellar", identity: key })
      const same = enrol(yield* starting(machines), "barn", { identity: key })
      assert.isTrue(same.registration.isSame)
      assert.strictEqual(same.registration.machine.about.location, "cellar")
      const other = enrol(yield* starting(machines), "barn", { identity: "2".repeat(64) })
      assert.isFalse(other.registration.isSame)
      assert.isUndefined(other.registration.machine.about.location)
    })
  )

  it.scoped("knows another identity with the same install id as another agent", () =>
    Effect.gen(function* () {
      const machines = yield* stored
      enrol(yield* starting(machines), "barn", { location: "cellar" })
      const rival = enrol(yield* starting(machines), "barn", {}, "rival")
      assert.isFalse(rival.registration.isSame)
    })
  )

  it.scoped("leaves out what it cannot read", () =>
    Effect.gen(function* () {
      const about = JSON.stringify({ agentId: 5 })
      const seen: ReadonlyArray<SeenMachine> = ["not json", about, "{}"].map((said, index) => ({
        name: `m${index}`,
        about: said,
        registeredBy: "agent",
        registeredAt: 0,
        lastSeen: undefined
      }))
      const directory = yield* starting({
        seen: Effect.succeed({ machines: seen, until: 0 }),
        note: () => {}
      })
      assert.deepStrictEqual(directory.list(), [])
      enrol(directory, "m0")
      assert.strictEqual(directory.connected(), 1)
    })
  )
})
