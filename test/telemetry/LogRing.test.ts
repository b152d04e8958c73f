import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { LOG_GATHER, LOG_LINE_CHARACTERS, LOG_RING_BYTES, LOG_RING_LINES } from "../../src/protocol/Limits.ts"
import type { Level } from "../../src/protocol/Management.ts"
import * as Log from "../../src/telemetry/Log.ts"
import * as LogRing from "../../src/telemetry/LogRing.ts"

const filled = (count: number, bounds?: LogRing.Bounds) => {
  const ring = LogRing.make(bounds)
  const add = (text: string, level: Level = "info", machine?: string) => ring.take({ text, level, machine })
  for (let i = 1; i <= count; i++) add(`line ${i}`)
  return { ring, add }
}

describe("LogRing", () => {
  it("gives the newest lines, oldest first; 100 when what is asked for is no sensible number", () => {
    const { ring } = filled(250)
    assert.deepStrictEqual(ring.read({ lines: 3 }).lines, ["line 248", "line 249", "line 250"])
    for (const lines of [undefined, 0, -1, Number.NaN]) {
      assert.strictEqual(ring.read(lines === undefined ? {} : { lines }).lines.length, 100)
    }
    assert.strictEqual(ring.read({ lines: 10_000 }).lines.length, 250)
  })

  it("is bounded in lines, in bytes and in the length of each", () => {
    const many = filled(LOG_RING_LINES + 500)
    assert.strictEqual(many.ring.read({ lines: 10_000 }).lines.length, LOG_RING_LINES)
    const { add, ring } = filled(0)
    // Each of these is six bytes in JSON.
    for (let i = 0; i < 200; i++) add("\u0001".repeat(2 * LOG_LINE_CHARACTERS))
    const { lines } = ring.read({ lines: 10_000 })
    assert.isAtMost(Buffer.byteLength(JSON.stringify(lines)), LOG_RING_BYTES + 2)
    assert.isAbove(lines.length, 3)
    for (const line of lines) assert.isAtMost(line.length, LOG_LINE_CHARACTERS + 3)
  })

  it("selects by level and by machine", () => {
    const { add, ring } = filled(0)
    add("a", "debug", "barn")
    add("b", "info", "mill")
    add("c", "warn", "barn")
    add("d", "error")
    const read = (query: LogRing.Query) => ring.read(query).lines.join("")
    assert.strictEqual(read({}), "abcd")
    assert.strictEqual(read({ level: "info" }), "bcd")
    assert.strictEqual(read({ level: "warn" }), "cd")
    assert.strictEqual(read({ machine: "barn" }), "ac")
    assert.strictEqual(read({ machine: "barn", level: "warn" }), "c")
  })

  it("goes on where a cursor says, and counts what was lost in between", () => {
    const { add, ring } = filled(5, { lines: 4, bytes: 10_000 })
    const first = ring.read({ lines: 2 })
    assert.deepStrictEqual(first.lines, ["line 4", "line 5"])
    add("line 6")
    const next = ring.read({ after: first.cursor })
    assert.deepStrictEqual([next.lines, next.missed], [["line 6"], 0])
    for (let i = 7; i <= 13; i++) add(`line ${i}`)
    const late = ring.read({ after: next.cursor })
    assert.deepStrictEqual(late.lines, ["line 10", "line 11", "line 12", "line 13"])
    assert.strictEqual(late.missed, 3)
    // In pages, none twice and none left out.
    const page = ring.read({ after: next.cursor, lines: 3 })
    assert.deepStrictEqual(page.lines, ["line 10", "line 11", "line 12"])
    assert.deepStrictEqual(ring.read({ after: page.cursor }).lines, ["line 13"])
    // A cursor of another run of the program, or of nobody: everything is new.
    for (const after of [LogRing.make().read({}).cursor, "x", ""]) {
      assert.strictEqual(ring.read({ after }).lines.length, 4)
      assert.strictEqual(ring.read({ after }).missed, 0)
    }
  })

  it.effect("waits for a line that is meant, and a little longer for more; nobody waits for ever", () =>
    Effect.gen(function* () {
      const { add, ring } = filled(1)
      const { cursor } = ring.read({})
      const waiting = yield* Effect.fork(ring.follow({ after: cursor, machine: "barn", wait: 5_000 }))
      yield* TestClock.adjust(1_000)
      add("of another", "info", "mill")
      yield* TestClock.adjust(LOG_GATHER)
      assert.strictEqual((yield* Fiber.poll(waiting))._tag, "None")
      add("first", "info", "barn")
      yield* TestClock.adjust(LOG_GATHER - 1)
      add("second", "info", "barn")
      assert.strictEqual((yield* Fiber.poll(waiting))._tag, "None")
      yield* TestClock.adjust(1)
      assert.deepStrictEqual((yield* Fiber.join(waiting)).lines, ["first", "second"])

      const inVain = yield* Effect.fork(ring.follow({ after: ring.read({}).cursor, wait: 5_000 }))
      yield* TestClock.adjust(5_000)
      assert.deepStrictEqual((yield* Fiber.join(inVain)).lines, [])
      assert.deepStrictEqual((yield* ring.follow({ after: ring.read({}).cursor })).lines, [])
    })
  )

  it.effect("costs a program that logs without pause a few answers a second, whatever it logs", () =>
    Effect.gen(function* () {
      const { add, ring } = filled(0)
      let pages = 0
      let bytes = 0
      const follower = Effect.gen(function* () {
        let { cursor } = ring.read({})
        while (true) {
          const page = yield* ring.follow({ after: cursor, lines: 500, wait: 20_000 })
          cursor = page.cursor
          pages++
          bytes += Buffer.byteLength(JSON.stringify(page))
        }
      })
      yield* Effect.forkScoped(follower)
      for (let i = 0; i < 400; i++) {
        for (let j = 0; j < 5; j++) add(`line ${i} ${j} ${"x".repeat(100)}`)
        yield* TestClock.adjust(10)
      }
      // Four seconds.
      assert.isAtMost(pages, 4 * (1_000 / LOG_GATHER) + 1)
      assert.isAtLeast(pages, 10)
      assert.isAtMost(bytes, 4 * (1_000 / LOG_GATHER) * LOG_RING_BYTES)
    }).pipe(Effect.scoped)
  )

  it.effect("remembers what a program logs, as text whatever the form, and no secret", () =>
    Effect.gen(function* () {
      for (const format of Log.formats) {
        const ring = LogRing.make()
        const written: Array<string> = []
        const log = Log.layer({ program: "telad", format, level: "info", write: (line) => written.push(line), ring })
        yield* Effect.gen(function* () {
          yield* Effect.logDebug("not this")
          yield* Effect.logInfo("joined", { token: Redacted.make("s3cret") }).pipe(
            Effect.annotateLogs("machine", "barn")
          )
          yield* Effect.logWarning("line\nbreak")
        }).pipe(Effect.provide(log))
        assert.strictEqual(written.length, 2)
        const { lines } = ring.read({})
        assert.match(lines[0] ?? "", /^\S+Z INFO {2}\[telad\] joined machine=barn token=<redacted>$/)
        assert.match(lines[1] ?? "", /^\S+Z WARN {2}\[telad\] line\\nbreak$/)
        assert.deepStrictEqual(ring.read({ machine: "barn" }).lines, lines.slice(0, 1))
        assert.deepStrictEqual(ring.read({ level: "warn" }).lines, lines.slice(1))
        if (format === "text")
          assert.deepStrictEqual(
            written,
            lines.map((line) => `${line}\n`)
          )
      }
    })
  )
})
