import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"

/** Log lines as they are written: a layer that takes them in place of the default logger, and a wait for one of them. */
export const logLines = Effect.gen(function* () {
  const lines = yield* Queue.unbounded<string>()
  const layer = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ message }) => {
      const parts = [message].flat().map((part) => (typeof part === "string" ? part : JSON.stringify(part)))
      lines.unsafeOffer(parts.join(" "))
    })
  )
  const until = (pattern: RegExp) => Effect.repeat(Queue.take(lines), { until: (line) => pattern.test(line) })
  /** Those that nobody has taken yet. */
  const taken = Effect.map(Queue.takeAll(lines), (chunk) => [...chunk])
  return { layer, taken, until }
})
