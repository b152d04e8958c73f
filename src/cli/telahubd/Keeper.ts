/**
 * A hub that nobody supervises restarts by itself. The process that was started, and that somebody may wait for, stays: it
 * starts the next hub as its child, and from then on only keeps it. A hub that is such a child asks its keeper for the
 * next one, so that there are never more than the keeper, one hub that leaves and one that comes. When either ends, so does
 * the other.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import { ExitCode, Exits } from "../Failure.ts"

/** Tells a child that it is one, and which port it takes over. */
const SUCCESSOR = "TELAHUBD_SUCCESSOR"

/** What keeper and child say to each other. */
const messages = { end: "tela-end", next: "tela-next" } as const

/** The keeper of this process; it starts the next hub, or ends. */
export interface Kept {
  /** The port that this process takes over. */
  readonly port: number
  /** Has the next hub started, by the keeper. */
  readonly startNext: Effect.Effect<void>
}

/** The keeper that started this process, if one did; `end` is called when it wants the process to end, or is gone. */
export const above = (env: Readonly<Record<string, string | undefined>>, end: () => void): Kept | undefined => {
  const port = env[SUCCESSOR]
  const { channel } = process
  if (port === undefined || channel === undefined) return undefined
  process.on("message", (message) => {
    if (message === messages.end) end()
  })
  process.on("disconnect", end)
  // Alone it does not keep the process alive.
  channel.unref()
  return { port: Number(port), startNext: Effect.sync(() => void process.send?.(messages.next)) }
}

/** This process as a keeper of the hubs that come after it. */
export interface Keeper {
  readonly startNext: Effect.Effect<void>
  /** Lasts until no hub is left, and fails with the exit code of the last; ends them when it is interrupted. */
  readonly keep: Effect.Effect<void, Exits>
}

/** A keeper whose hubs take over a port. It starts none by itself. */
export const make = (port: number): Keeper => {
  const hubs = new Set<ChildProcess>()
  const over = Deferred.unsafeMake<number>(FiberId.none)
  let newest: ChildProcess | undefined
  let ending = false
  let exitCode: number = ExitCode.ok

  const end = () => {
    for (const hub of hubs) {
      // Whoever asks twice does not want to wait.
      if (ending) hub.kill("SIGKILL")
      else if (hub.connected) hub.send(messages.end, () => {})
    }
    ending = true
  }

  const start = () => {
    if (ending) return
    const hub = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
      env: { ...process.env, [SUCCESSOR]: String(port) },
      stdio: ["inherit", "inherit", "inherit", "ipc"]
    })
    newest = hub
    hubs.add(hub)
    const gone = (code: number) => {
      if (!hubs.delete(hub)) return
      if (hub === newest) exitCode = code
      if (hubs.size === 0) Deferred.unsafeDone(over, Effect.succeed(exitCode))
    }
    hub.on("message", (message) => {
      if (message === messages.next) start()
    })
    hub.on("error", () => gone(ExitCode.failed))
    hub.on("exit", (code) => gone(code ?? ExitCode.failed))
  }

  /** Before the program's own listener, which ends this process at the second signal. */
  const listen = Effect.sync(() => {
    if (newest !== undefined) return
    process.prependListener("SIGINT", end)
    process.prependListener("SIGTERM", end)
  })

  return {
    startNext: Effect.zipRight(listen, Effect.sync(start)),
    keep: Deferred.await(over).pipe(
      Effect.flatMap((code) =>
        code === ExitCode.ok ? Effect.void : new Exits({ code, message: `the hub ended with exit code ${code}` })
      ),
      Effect.onInterrupt(() => Deferred.await(over))
    )
  }
}
