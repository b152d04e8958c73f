/** A service manager's program that only answers, for tests: what it was asked is kept, and each answer is the test's. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Answer, ManagerCall } from "../../../src/system/service/ManagerCall.ts"

export interface Asked {
  /** The command lines so far. */
  readonly lines: Array<string>
  readonly layer: Layer.Layer<ManagerCall>
}

/** Answers by what a command line begins with, the first that fits; else with success. `undefined`: not installed. */
export const answering = (
  answers: ReadonlyArray<readonly [string, Partial<Answer> | undefined | (() => Partial<Answer>)]> = []
): Asked => {
  const lines: Array<string> = []
  const run = (command: string, args: ReadonlyArray<string>) =>
    Effect.sync(() => {
      const line = [command, ...args].join(" ")
      lines.push(line)
      const found = answers.find(([start]) => line.startsWith(start))
      if (found === undefined) return { code: 0, stdout: "", stderr: "" }
      const answer = typeof found[1] === "function" ? found[1]() : found[1]
      return answer && { code: 0, stdout: "", stderr: "", ...answer }
    })
  return { lines, layer: Layer.succeed(ManagerCall, { run }) }
}
