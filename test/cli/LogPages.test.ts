/** A log that is followed: how often its program is asked. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Command from "../../src/cli/Command.ts"
import { Failed } from "../../src/cli/Failure.ts"
import { Shell } from "../../src/cli/Shell.ts"
import * as LogPages from "../../src/cli/tela/admin/LogPages.ts"
import { FOLLOW_PAUSE } from "../../src/protocol/Limits.ts"
import * as LogRing from "../../src/telemetry/LogRing.ts"

/** Follows a program that has a page of so many lines whenever it is asked, up to so many pages; then it is silent. */
const following = (lines: number, pages: number) =>
  Effect.gen(function* () {
    const printed: Array<string> = []
    let asked = 0
    const shell = Shell.of({
      program: "tela",
      env: {},
      cwd: "/",
      print: (text) => Effect.sync(() => void printed.push(...text.split("\n"))),
      note: () => Effect.void,
      ring: LogRing.make(),
      up: Effect.void
    })
    const page = { lines: Array.from({ length: lines }, (_, i) => `line ${i}`), cursor: "00000000.1" }
    const command = Command.make({ name: "logs", summary: "", flags: LogPages.logFlags }, (given) =>
      LogPages.show(given, {
        name: "barn",
        read: () => Effect.suspend(() => (++asked > pages ? Effect.never : Effect.succeed(page))),
        explain: ({ reason }) => new Failed({ message: reason })
      })
    )
    const run = command.run?.(new Map([["follow", "true"]]), []) ?? Effect.void
    const fiber = yield* Effect.fork(Effect.provideService(run, Shell, shell))
    return { asked: () => asked, printed, end: Fiber.interrupt(fiber) }
  })

describe("a log that is followed", () => {
  it.effect("is asked for once in FOLLOW_PAUSE, however much there is", () =>
    Effect.gen(function* () {
      const { asked, end, printed } = yield* following(3, 100)
      yield* TestClock.adjust(0)
      // The last lines, and the first page after them.
      assert.strictEqual(asked(), 2)
      yield* TestClock.adjust(10 * FOLLOW_PAUSE)
      assert.strictEqual(asked(), 12)
      assert.strictEqual(printed.length, 36)
      yield* end
    })
  )

  it.effect("is asked for at once after a full page: what is behind it is not remembered for long", () =>
    Effect.gen(function* () {
      const { asked, end, printed } = yield* following(500, 6)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual([asked(), printed.length], [7, 3_000])
      yield* end
    })
  )
})
