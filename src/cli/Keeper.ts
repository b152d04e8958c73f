/**
 * A daemon that nobody supervises restarts by itself. The process that was started, and that somebody may wait for, stays:
 * it starts the next one as its child, and from then on only keeps it. One that is such a child asks its keeper for the
 * next, so that there are never more than the keeper, one that leaves and one that comes. When either ends, so does the
 * other.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import { TRIAL_STARTS } from "../protocol/Limits.ts"
import { ExitCode, Exits } from "./Failure.ts"

/** A program whose processes follow each other. */
export interface Succession {
  /** The variable that tells a child that it is one, and what it takes over. */
  readonly variable: string
  /** What a process is called in a sentence. */
  readonly name: string
}

/** What keeper and child say to each other. */
const messages = { end: "tela-end", next: "tela-next" } as const

/** The keeper of this process; it starts the next one, or ends. */
export interface Kept {
  /** What this process takes over. */
  readonly legacy: string
  /** Has the next one started, by the keeper. */
  readonly startNext: Effect.Effect<void>
}

/** Says something to the keeper; done when it is on its way. */
const said = (message: string): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (process.send?.(message, () => resume(Effect.void)) === undefined) resume(Effect.void)
  })

/** The keeper that started this process, if one did; `end` is called when it wants the process to end, or is gone. */
export const above = (
  { variable }: Succession,
  env: Readonly<Record<string, string | undefined>>,
  end: () => void
): Kept | undefined => {
  const legacy = env[variable]
  const { channel } = process
  if (legacy === undefined || channel === undefined) return undefined
  process.on("message", (message) => {
    if (message === messages.end) end()
  })
  process.on("disconnect", end)
  // Alone it does not keep the process alive.
  channel.unref()
  return { legacy, startNext: said(messages.next) }
}

/** This process as a keeper of those that come after it. */
export interface Keeper {
  readonly startNext: Effect.Effect<void>
  /** Lasts until none is left, and fails with the exit code of the last; ends them when it is interrupted. */
  readonly keep: Effect.Effect<void, Exits>
}

export interface KeeperOptions {
  /** What each process takes over. */
  readonly legacy: string
  /**
   * Whether one that failed is to be started once more, as a supervisor would: what runs is on trial, and the launcher goes
   * back to the version before when it failed often enough.
   */
  readonly again: Effect.Effect<boolean>
}

/** A keeper of processes that each take over the same. It starts none by itself. */
export const make = ({ name, variable }: Succession, { again, legacy }: KeeperOptions): Keeper => {
  const children = new Set<ChildProcess>()
  let over = Deferred.unsafeMake<number>(FiberId.none)
  let newest: ChildProcess | undefined
  let ending = false
  let exitCode: number = ExitCode.ok
  let failures = 0

  const end = () => {
    for (const child of children) {
      // Whoever asks twice does not want to wait.
      if (ending) child.kill("SIGKILL")
      else if (child.connected) child.send(messages.end, () => {})
    }
    ending = true
  }

  const start = () => {
    if (ending) return
    const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
      env: { ...process.env, [variable]: legacy },
      stdio: ["inherit", "inherit", "inherit", "ipc"]
    })
    newest = child
    children.add(child)
    const gone = (code: number) => {
      if (!children.delete(child)) return
      if (child === newest) exitCode = code
      if (children.size === 0) Deferred.unsafeDone(over, Effect.succeed(exitCode))
    }
    child.on("message", (message) => {
      if (message !== messages.next) return
      failures = 0
      start()
    })
    child.on("error", () => gone(ExitCode.failed))
    child.on("exit", (code) => {
      // What it said last may still be on its way.
      if (child.connected) child.once("disconnect", () => gone(code ?? ExitCode.failed))
      else gone(code ?? ExitCode.failed)
    })
  }

  /** Before the program's own listener, which ends this process at the second signal. */
  const listen = Effect.sync(() => {
    if (newest !== undefined) return
    process.prependListener("SIGINT", end)
    process.prependListener("SIGTERM", end)
  })

  const keep = Effect.gen(function* () {
    while (true) {
      const code = yield* Deferred.await(over)
      if (code === ExitCode.ok) return
      // One that ends before it is counted as a start is never gone back from.
      if (ending || failures++ >= TRIAL_STARTS || !(yield* again)) {
        return yield* new Exits({ code, message: `the ${name} ended with exit code ${code}` })
      }
      yield* Effect.logWarning(`the ${name} ended with exit code ${code}, and its version is on trial: once more`)
      over = Deferred.unsafeMake<number>(FiberId.none)
      start()
    }
  })

  return {
    startNext: Effect.zipRight(listen, Effect.sync(start)),
    keep: Effect.onInterrupt(keep, () => Effect.suspend(() => Deferred.await(over)))
  }
}
