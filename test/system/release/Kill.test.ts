/** An update that is killed at any of its steps, as by a power cut: a version that works is in force, and the next update is. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { steps } from "../../../src/system/release/Steps.ts"
import * as Program from "../../e2e/harness/Program.ts"
import { bundled } from "../../support/bundled.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { release, unpack } from "./made.ts"

describe("an update", () => {
  it.scopedLive(
    "that is killed at any step leaves a version that works, and nothing in the way of the next",
    () =>
      Effect.gen(function* () {
        const program = yield* bundled("test/system/release/installing.ts")
        const folder = yield* temporaryFolder
        const first = yield* release(folder, { version: "v1.0.0" })
        const made = yield* release(folder, { version: "v1.1.0" })
        const archive = Path.join(folder, "files/stable", made.archives[0]?.name ?? "")
        for (const step of steps) {
          const { home, installation, run, versions } = yield* unpack(folder, first)
          const installing = yield* Program.start({
            command: process.execPath,
            args: [program, home, archive, "v1.1.0", step]
          })
          yield* installing.expect(new RegExp(`^at ${step}\\n`))
          yield* installing.end("SIGKILL")
          const isIn = step === "switched" || step === "cleaned"
          assert.strictEqual(run("a"), `runs ${isIn ? "v1.1.0" : "v1.0.0"} a\n`, step)
          // Half of a version is never where one could be taken for whole.
          for (const name of versions().filter((each) => !each.startsWith("."))) {
            assert.isTrue(Fs.existsSync(Path.join(home, "versions", name, "release.json")), `${step}: ${name}`)
            assert.isTrue(Fs.existsSync(Path.join(home, "versions", name, "dist/programs/telad.cjs")), step)
          }
          const { pointer } = yield* installation.install(Fs.readFileSync(archive), "v1.1.0")
          assert.strictEqual(run("b"), "runs v1.1.0 b\n", step)
          assert.deepStrictEqual(versions(), ["v1.0.0", pointer.folder].toSorted(), step)
          assert.deepStrictEqual(
            Fs.readdirSync(home).toSorted(),
            ["bin", "current.json", "package.json", "versions"],
            step
          )
        }
      }),
    60_000
  )

  it.scopedLive(
    "that is killed at any moment leaves a version that works",
    () =>
      Effect.gen(function* () {
        const program = yield* bundled("test/system/release/installing.ts")
        const folder = yield* temporaryFolder
        const first = yield* release(folder, { version: "v1.0.0" })
        const made = yield* release(folder, { version: "v1.1.0" })
        const archive = Path.join(folder, "files/stable", made.archives[0]?.name ?? "")
        for (let round = 0; round < 12; round++) {
          // What is in force is not installed again.
          const { home, run } = yield* unpack(folder, first)
          const installing = yield* Program.start({
            command: process.execPath,
            args: [program, home, archive, "v1.1.0", "cleaned"]
          })
          const moment = 100 + Math.floor(Math.random() * 700)
          yield* Effect.raceFirst(installing.expect(/^at cleaned\n/), Effect.sleep(moment))
          yield* installing.end("SIGKILL")
          assert.match(run("a"), /^runs v1\.[01]\.0 a\n$/, `killed after ${moment} ms`)
        }
      }),
    60_000
  )
})
