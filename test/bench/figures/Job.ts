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
  | { readonly what: "idle"; readonly echo: number; readonly probes: number }
  /** Round trips a little apart from each other, for as long as told. */
  | { readonly what: "paced"; readonly echo: number; readonly seconds: number }
  /** As much as there is room for, until the process is ended. */
  | { readonly what: "flood"; readonly bulk: number; readonly streams: number }

/** MB (10^6 bytes) a second, or milliseconds. */
export interface Measured {
  readonly rate?: number
  readonly p50?: number
  readonly p99?: number
  readonly count?: number
}

/** How the process that does a job is started. */
export const load = (job: Job): Program.Command => script("load", [JSON.stringify(job)])

/** Runs one job to its end. */
export const measure = (job: Job): Effect.Effect<Measured, Program.ProgramFailed> =>
  Effect.map(Program.run(load(job), "90 seconds"), ({ stdout }): Measured => JSON.parse(stdout))
