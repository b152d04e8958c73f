import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as AgentState from "../../src/store/AgentState.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe("AgentState", () => {
  it.scoped("makes what is missing, saves it, and finds it again", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "telad.state")
      const first = yield* AgentState.load(file, ["barn", "shed"])
      assert.match(first.agentId, uuid)
      assert.match(first.registrationIds.get("barn") ?? "", uuid)
      assert.notStrictEqual(first.registrationIds.get("barn"), first.registrationIds.get("shed"))
      assert.strictEqual((yield* Effect.promise(() => Fs.stat(file))).mode & 0o777, 0o600)

      const again = yield* AgentState.load(file, ["barn", "attic"])
      assert.strictEqual(again.agentId, first.agentId)
      assert.strictEqual(again.registrationIds.get("barn"), first.registrationIds.get("barn"))
      assert.strictEqual(again.registrationIds.get("shed"), first.registrationIds.get("shed"))
      assert.match(again.registrationIds.get("attic") ?? "", uuid)
    })
  )

  it.scoped("reads a deployed agent's file and does not write it when it is complete", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "telad.state")
      const text = "agentId: a-1\nmachines:\n    barn:\n        machineRegistrationId: r-1\n"
      yield* Effect.promise(() => Fs.writeFile(file, text))
      const state = yield* AgentState.load(file, ["barn"])
      assert.strictEqual(state.agentId, "a-1")
      assert.strictEqual(state.registrationIds.get("barn"), "r-1")
      assert.strictEqual(yield* Effect.promise(() => Fs.readFile(file, "utf8")), text)
    })
  )

  it.scoped("refuses a broken file instead of taking a new identity", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "telad.state")
      yield* Effect.promise(() => Fs.writeFile(file, "agentId: [\n"))
      const error = yield* Effect.flip(AgentState.load(file, ["barn"]))
      assert.strictEqual(error.line, 2)
    })
  )
})
