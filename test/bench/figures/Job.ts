/** What is asked of load.ts, and what it gets back. */
import * as Effect from "effect/Effect"
import * as Program from "../../e2e/harness/Program.ts"
import { script } from "./Contenders.ts"

export type Job =
  | {
      readonly what: "bulk"
      readonly bulk: number
      readonly streams: number
      readonly megabytes: number
      readonly direction: "up" | "down"
    }
  /** Round trips through two contenders in turns, so that whatever else happens happens to both. */
  | { readonly what: "idle"; readonly ours: number; readonly plain: number; readonly probes: number }
  /** Round trips a little apart from each other, for as long as told. */
  | { readonly what: "paced"; readonly echo: number; readonly seconds: number }
  /** As much as there is room for, until the process is ended. */
  | { readonly what: "flood"; readonly bulk: number; readonly streams: number }
  /** As much as there is room for, from the service. Told a line, says at which rate it came since the last line. */
  | { readonly what: "metered"; readonly bulk: number }
  /** Connections that end at once, so many a second, until the process is ended. */
  | { readonly what: "visits"; readonly port: number; readonly perSecond: number }

/** MB (10^6 bytes) a second, or milliseconds. */
export interface Measured {
  readonly rate?: number | undefined
  readonly p50?: number | undefined
  readonly p99?: number | undefined
  /** The p50 of the other contender. */
  readonly yardstick?: number | undefined
}

/** How the process that does a job is started. */
export const load = (job: Job): Program.Command => script("load", [JSON.stringify(job)])

/** Runs one job to its end. */
export const measure = (job: Job): Effect.Effect<Measured, Program.ProgramFailed> =>
  Effect.map(Program.run(load(job), "90 seconds"), ({ stdout }): Measured => JSON.parse(stdout))
