/**
 * Runs the program of a service manager: to its end, within a time, and with a bound on what it may say. A port, so that
 * tests can answer in its place.
 */
import { spawn } from "node:child_process"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { MANAGER_OUTPUT_BYTES, MANAGER_TIMEOUT } from "../../protocol/Limits.ts"
import { ServiceError } from "./ServiceError.ts"

/** What the program said, and its exit code; undefined when it is not installed. */
export interface Answer {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export class ManagerCall extends Context.Tag("tela/system/ManagerCall")<
  ManagerCall,
  {
    /** Runs a command; succeeds with undefined when there is no such program. `within` is in milliseconds. */
    readonly run: (
      command: string,
      args: ReadonlyArray<string>,
      within?: number
    ) => Effect.Effect<Answer | undefined, ServiceError>
  }
>() {}

const isMissing = (error: Error): boolean => "code" in error && error.code === "ENOENT"

const run: Context.Tag.Service<ManagerCall>["run"] = (command, args, within = MANAGER_TIMEOUT) =>
  Effect.async<Answer | undefined, ServiceError>((resume) => {
    const said = { stdout: "", stderr: "" }
    const child = spawn(command, [...args], { stdio: ["ignore", "pipe", "pipe"], windowsHide: true })
    const listen = (name: "stdout" | "stderr") => {
      child[name].setEncoding("utf8").on("data", (text: string) => {
        said[name] = (said[name] + text).slice(0, MANAGER_OUTPUT_BYTES)
      })
    }
    listen("stdout")
    listen("stderr")
    child.on("error", (error) =>
      resume(
        isMissing(error)
          ? Effect.succeed(undefined)
          : new ServiceError({ problem: `${command} cannot be run: ${error.message}` })
      )
    )
    child.on("close", (code) => resume(Effect.succeed({ code: code ?? 1, ...said })))
    return Effect.sync(() => child.kill())
  }).pipe(
    Effect.timeoutFail({
      duration: within,
      onTimeout: () => new ServiceError({ problem: `${command} ${args.join(" ")}: no answer in ${within / 1000} s` })
    })
  )

/** Runs real programs. */
export const layer: Layer.Layer<ManagerCall> = Layer.succeed(ManagerCall, { run })
