/**
 * A program at a terminal of its own, typed at as a person would: by `script`, which makes the terminal.
 */
import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface Terminal {
  /** All that the person has seen. */
  readonly seen: () => string
  /** Waits until the pattern is seen. */
  readonly expect: (pattern: RegExp) => Effect.Effect<RegExpExecArray>
  readonly type: (keys: string) => Effect.Effect<void>
  /** Waits for the end. */
  readonly ended: Effect.Effect<number | null>
}

/** Runs a line of a shell at a new terminal; the scope ends it. */
export const run = (line: string, env: Readonly<Record<string, string>>): Effect.Effect<Terminal, never, Scope.Scope> =>
  Effect.gen(function* () {
    let seen = ""
    let code: number | null | undefined
    const watchers = new Set<() => void>()
    const child = spawn("script", ["-qefc", line, "/dev/null"], {
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", TERM: "dumb", SHELL: "/bin/bash", ...env }
    })
    const changed = () => {
      for (const watcher of watchers) watcher()
    }
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      seen += text
      changed()
    })
    child.stdin.on("error", () => {})
    child.on("close", (status) => {
      code = status
      changed()
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
    const watch = <A>(look: () => A | undefined) =>
      Effect.async<A>((resume) => {
        const watcher = () => {
          const found = look()
          if (found === undefined) return
          watchers.delete(watcher)
          resume(Effect.succeed(found))
        }
        watchers.add(watcher)
        watcher()
      })
    return {
      seen: () => seen,
      expect: (pattern) => watch(() => pattern.exec(seen) ?? undefined),
      type: (keys) => Effect.sync(() => void child.stdin.write(keys)),
      ended: Effect.map(
        watch(() => (code === undefined ? undefined : { code })),
        (end) => end.code
      )
    }
  })
