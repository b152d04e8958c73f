/** What an agent counts. Labels are words of our own, never a name that somebody chose. */
import * as Metric from "effect/Metric"

const refused = Metric.counter("tela_agent_refused_total", {
  description: "Streams that were refused for a limit rather than a right",
  incremental: true
}).pipe(Metric.tagged("reason", "streams"))

/** Counts one that was refused since its session has as many as the hub allows. */
export const countRefused = (): void => refused.unsafeUpdate(1, [])
