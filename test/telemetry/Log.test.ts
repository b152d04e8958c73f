import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Redacted from "effect/Redacted"
import * as Log from "../../src/telemetry/Log.ts"

const logged = (options: Partial<Log.LogOptions>, effect: Effect.Effect<unknown>) => {
  const lines: Array<string> = []
  const layer = Log.layer({
    program: "telad",
    format: "text",
    level: "info",
    write: (line) => lines.push(line),
    ...options
  })
  return Effect.as(Effect.provide(effect, layer), lines)
}

describe("Log", () => {
  it.effect("writes one line for people", () =>
    Effect.gen(function* () {
      const [line] = yield* logged(
        {},
        Effect.logInfo("registered").pipe(Effect.annotateLogs({ machine: "web-01", note: "two words", empty: "" }))
      )
      assert.strictEqual(
        line,
        `1970-01-01T00:00:00Z INFO  [telad] registered empty="" machine=web-01 note="two words"\n`
      )
    })
  )

  it.effect("takes an object beside the message as members", () =>
    Effect.gen(function* () {
      const event = Effect.logInfo("registered", { sessions: 2, note: null }).pipe(Effect.annotateLogs("machine", "m"))
      assert.deepStrictEqual(yield* logged({}, event), [
        "1970-01-01T00:00:00Z INFO  [telad] registered machine=m sessions=2 note=null\n"
      ])
      const [line] = yield* logged({ format: "json" }, event)
      assert.deepInclude(JSON.parse(line ?? ""), { message: "registered", machine: "m", sessions: 2 })
    })
  )

  it.effect("writes JSON", () =>
    Effect.gen(function* () {
      const [line] = yield* logged(
        { format: "json" },
        Effect.logWarning("slow").pipe(Effect.annotateLogs({ machine: "web-01", port: 22 }))
      )
      assert.deepStrictEqual(JSON.parse(line ?? ""), {
        time: "1970-01-01T00:00:00.000Z",
        level: "WARN",
        program: "telad",
        message: "slow",
        machine: "web-01",
        port: 22
      })
    })
  )

  it.effect("keeps to its level", () =>
    Effect.gen(function* () {
      const noise = Effect.zipRight(Effect.logDebug("a"), Effect.logInfo("b"))
      assert.strictEqual((yield* logged({ level: "debug" }, noise)).length, 2)
      assert.strictEqual((yield* logged({ level: "info" }, noise)).length, 1)
      assert.strictEqual((yield* logged({ level: "warn" }, noise)).length, 0)
    })
  )

  it.effect("names what failed, without a stack", () =>
    Effect.gen(function* () {
      const [line] = yield* logged({}, Effect.logError("session ended", Cause.fail(new Error("peer vanished"))))
      assert.match(line ?? "", /ERROR \[telad\] session ended error="peer vanished"\n$/)
    })
  )

  it.effect("never shows a secret", () =>
    Effect.gen(function* () {
      const token = Redacted.make("hunter2")
      const lines = [
        ...(yield* logged({}, Effect.logInfo("with", token).pipe(Effect.annotateLogs({ token })))),
        ...(yield* logged({ format: "json" }, Effect.logInfo("with", token).pipe(Effect.annotateLogs({ token }))))
      ]
      assert.notInclude(lines.join(""), "hunter2")
      assert.include(lines.join(""), "<redacted>")
    })
  )

  it.effect.prop(
    "a line stays one line, whatever is logged",
    [FastCheck.string({ unit: "binary" })],
    ([text]) =>
      Effect.gen(function* () {
        for (const format of Log.formats) {
          const lines = yield* logged({ format }, Effect.logInfo(text).pipe(Effect.annotateLogs({ text })))
          assert.strictEqual(lines.length, 1)
          assert.match(lines[0] ?? "", /^[^\n\r]*\n$/)
        }
      }),
    { fastCheck: { numRuns: 50 } }
  )
})
