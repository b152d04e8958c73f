import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { TRIAL_SETTLE, TRIAL_WINDOW } from "../../../src/protocol/Limits.ts"
import type * as Installation from "../../../src/system/release/Installation.ts"
import * as Trial from "../../../src/system/release/Trial.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { turn } from "../../support/turn.ts"
import { release, unpack } from "./made.ts"

/** A telad in whose place v1.1.0 was put a moment ago. */
const updated = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const first = yield* release(folder, { version: "v1.0.0" })
  const made = yield* release(folder, { version: "v1.1.0" })
  const telad = yield* unpack(folder, first)
  const archive = Fs.readFileSync(Path.join(folder, "files/stable", made.archives[0]?.name ?? ""))
  yield* telad.installation.install(archive, "v1.1.0")
  const another = yield* release(folder, { version: "v1.2.0" })
  return { ...telad, further: Fs.readFileSync(Path.join(folder, "files/stable", another.archives[0]?.name ?? "")) }
})

const pointerOf = ({ installed }: typeof Installation.Installation.Service) =>
  Effect.map(installed, ({ pointer }) => pointer)

/** Waits until so many fibers sleep: until then the clock has nobody to wake. */
const asleep = (fibers: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    while (Chunk.size(yield* TestClock.sleeps()) < fibers) yield* turn
  })

describe("a trial", () => {
  it.scoped("ends well when the daemon is healthy and goes on for a moment", () =>
    Effect.gen(function* () {
      const { installation, versions } = yield* updated
      const isHealthy = yield* Deferred.make<void>()
      const trial = yield* Trial.begin(installation, "v1.1.0")
      const watching = yield* Effect.fork(trial.watch(Deferred.await(isHealthy)))
      yield* asleep(1)
      const noted = yield* pointerOf(installation)
      assert.deepStrictEqual(noted.trial, { starts: 1, pid: process.pid })
      yield* Deferred.succeed(isHealthy, undefined)
      yield* asleep(2)
      yield* TestClock.adjust(TRIAL_SETTLE - 1)
      assert.isDefined((yield* pointerOf(installation)).trial)
      yield* TestClock.adjust(1)
      yield* Fiber.join(watching)
      const after = yield* pointerOf(installation)
      assert.isUndefined(after.trial)
      assert.strictEqual(after.previous, "v1.0.0")
      assert.strictEqual(versions().length, 2)
    })
  )

  it.scoped("ends in the version before when it is not healthy in time, nor goes on", () =>
    Effect.gen(function* () {
      for (const [fibers, healthy] of [
        [1, Effect.never],
        [2, Effect.sleep(TRIAL_WINDOW - 1)]
      ] as const) {
        const { installation, run } = yield* updated
        const begun = yield* Trial.begin(installation, "v1.1.0")
        const watching = yield* Effect.fork(begun.watch(healthy))
        yield* asleep(fibers)
        yield* TestClock.adjust(TRIAL_WINDOW)
        const error = yield* Effect.flip(Fiber.join(watching))
        assert.match(error.message, /v1\.1\.0 was rolled back: it was not healthy within 120 s/)
        assert.strictEqual(run(), "runs v1.0.0 \n")
        const { failed, folder, trial } = yield* pointerOf(installation)
        assert.deepStrictEqual([folder, trial], ["v1.0.0", undefined])
        assert.match(failed?.folder ?? "", /^v1\.1\.0-/)
      }
    })
  )

  it.scoped("is nothing to a version that is not on trial, or not in force", () =>
    Effect.gen(function* () {
      const { installation } = yield* updated
      const before = yield* pointerOf(installation)
      const other = yield* Trial.begin(installation, "v1.0.0")
      yield* other.watch(Effect.never)
      assert.deepStrictEqual(yield* pointerOf(installation), before)
      yield* installation.begin("v1.1.0")
      yield* installation.confirm("v1.1.0")
      const over = yield* Trial.begin(installation, "v1.1.0")
      yield* over.watch(Effect.never)
    })
  )

  it.scoped("that is not over leaves nothing to go back to but what was proved before", () =>
    Effect.gen(function* () {
      const { further, installation, versions } = yield* updated
      const { pointer } = yield* installation.install(further, "v1.2.0")
      assert.strictEqual(pointer.previous, "v1.0.0")
      assert.deepStrictEqual(versions(), ["v1.0.0", pointer.folder].toSorted())
    })
  )

  it.scoped("that cannot be noted stops nobody", () =>
    Effect.gen(function* () {
      const { home, installation } = yield* updated
      Fs.writeFileSync(Path.join(home, "current.json"), "damaged")
      const trial = yield* Trial.begin(installation, "v1.1.0")
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(trial.watch(Effect.never))))
    })
  )
})
