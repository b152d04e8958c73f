/**
 * What an installation puts into a service's folder, step by step: found out by looking alone, so that it can be shown
 * before it is done. {@link file://./AgentPlan.ts} and {@link file://./HubPlan.ts} make one for their programs.
 */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Placing from "./Placing.ts"
import type { ServiceError } from "./ServiceError.ts"

/** What is done about one thing in the folder, to be shown. */
export interface Done {
  /** What it is, in a word. */
  readonly what: string
  readonly file: string
  /** Where it comes from, or why it stays; a few words. */
  readonly how: string
}

/** One file in the folder. */
export interface Step extends Done {
  /** Makes the file at another path, from which it is moved into place; undefined when it is in place already. */
  readonly make?: (staged: string) => Effect.Effect<void, ServiceError>
  /** What follows when the file is in its place. */
  readonly placed?: Effect.Effect<void>
  /** Under which name what is there now is kept. */
  readonly keepAs?: string
}

export interface Plan {
  readonly steps: ReadonlyArray<Step>
  /** What a person should know or do, one sentence each. */
  readonly notes: ReadonlyArray<string>
  /** Milliseconds that the program may take to leave. */
  readonly leavesWithin: number
}

/** A copy of a file as it is. */
export const copyOf =
  (source: string) =>
  (staged: string): Effect.Effect<void, ServiceError> =>
    Placing.attempt(source, () => Fs.copyFile(source, staged, Fs.constants.COPYFILE_EXCL))

/** Whether two files hold the same; false when one is missing. */
export const isSame = (one: string, other: string): Effect.Effect<boolean, ServiceError> =>
  Effect.gen(function* () {
    const [first, second] = yield* Effect.all(
      [one, other].map((file) => Placing.unlessMissing(file, () => Fs.readFile(file)))
    )
    return first !== undefined && second !== undefined && first.equals(second)
  })

/** The file that a path leads to; the path itself when there is none. */
export const realpath = (path: string): Effect.Effect<string> =>
  Effect.promise(() => Fs.realpath(path).catch(() => path))
