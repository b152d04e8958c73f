/**
 * What a service says to systemd while it runs (sd_notify(3)): that it is ready, how it is, that it is about to stop, and
 * twice in every WatchdogSec= that its event loop lives. Node cannot open the socket for that, so each word is said by
 * `systemd-notify`, one process at a time and none longer than NOTIFY_TIMEOUT. Without systemd nothing is said, and a
 * system without `systemd-notify` is no error.
 */
import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { NOTIFY_TIMEOUT, SERVICE_STOP_MARGIN, WATCHDOG_BEAT_LEAST } from "../../protocol/Limits.ts"
import { printable } from "../../protocol/Printable.ts"

type Env = Readonly<Record<string, string | undefined>>

export interface Notify {
  /** The service does what it is for. Does not wait until that is said. */
  readonly ready: Effect.Effect<void>
  /** How it is has changed. Does not wait either. */
  readonly report: Effect.Effect<void>
  /** It is about to stop, and may take so many milliseconds. Waits until that is said, at most NOTIFY_TIMEOUT. */
  readonly stopping: (within: number) => Effect.Effect<void>
}

export interface NotifyOptions {
  readonly env: Env
  /** How the service is, in a line that people read; asked at every beat, and not any more when it stops. */
  readonly status: Effect.Effect<string>
}

const silent: Notify = { ready: Effect.void, report: Effect.void, stopping: () => Effect.void }

/** How one word was said: `missing` when there is no systemd-notify. */
type Said = "said" | "missing" | string

/** The time is kept by a timer of Node's, since the last word is said where nothing can be interrupted. */
const say = (env: Env, words: ReadonlyArray<string>): Effect.Effect<Said> =>
  Effect.async<Said>((resume) => {
    // Of our environment it needs no more, and there may be secrets in it.
    const { NOTIFY_SOCKET, PATH } = env
    const child = spawn("systemd-notify", [...words], { env: { NOTIFY_SOCKET, PATH }, stdio: "ignore" })
    const over = (said: Said) => {
      clearTimeout(timer)
      resume(Effect.succeed(said))
    }
    const timer = setTimeout(() => {
      child.kill("SIGKILL")
      over("no end in time")
    }, NOTIFY_TIMEOUT)
    child.on("error", (error) => over("code" in error && error.code === "ENOENT" ? "missing" : error.message))
    child.on("exit", (code) => over(code === 0 ? "said" : `exit code ${code}`))
  })

/** How often systemd wants to hear of this process, in milliseconds; undefined when it does not. */
export const beatOf = (env: Env, pid: number): number | undefined => {
  const { WATCHDOG_PID, WATCHDOG_USEC = "" } = env
  if (!/^[1-9]\d{0,15}$/.test(WATCHDOG_USEC)) return undefined
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(pid)) return undefined
  return Math.max(WATCHDOG_BEAT_LEAST, Number(WATCHDOG_USEC) / 2_000)
}

/** Speaks for a service until the scope ends. */
export const make = ({ env, status }: NotifyOptions): Effect.Effect<Notify, never, Scope.Scope> =>
  Effect.gen(function* () {
    if (!env["NOTIFY_SOCKET"]) return silent
    const scope = yield* Effect.scope
    const turns = yield* Effect.makeSemaphore(1)
    let isMissing = false
    let isStopping = false

    const tell = (...words: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        // After its end is announced a service says only that it lives.
        const left = isStopping ? words.filter((word) => !/^(STATUS=(?!stopping$)|READY=)/.test(word)) : words
        if (isMissing || left.length === 0) return
        const said = yield* say(env, left)
        if (said === "said") return
        isMissing = said === "missing"
        const reason = isMissing ? "it is not installed" : said
        yield* Effect.logDebug("systemd-notify did not say how this service is", { reason, words: left.join(" ") })
      }).pipe(turns.withPermits(1))
    const tellStatus = (...words: ReadonlyArray<string>) =>
      Effect.flatMap(status, (line) => tell(`STATUS=${printable(line)}`, ...words))
    const later = (effect: Effect.Effect<void>) => Effect.asVoid(Effect.forkIn(effect, scope))

    const beat = beatOf(env, process.pid)
    if (beat !== undefined) {
      yield* tellStatus("WATCHDOG=1").pipe(Effect.delay(beat), Effect.forever, Effect.forkScoped)
    }
    return {
      ready: later(tellStatus("READY=1")),
      report: later(tellStatus()),
      stopping: (within) =>
        Effect.suspend(() => {
          isStopping = true
          return tell("STATUS=stopping", "STOPPING=1", `EXTEND_TIMEOUT_USEC=${(within + SERVICE_STOP_MARGIN) * 1_000}`)
        })
    }
  })
