/**
 * Who started this daemon, as far as it matters when it is to start anew: a supervisor that does it, the process that was
 * here before and watches over this one, or neither.
 */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"
import type { Given } from "./Command.ts"
import type { WrongUsage } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import { Shell } from "./Shell.ts"

type Env = Readonly<Record<string, string | undefined>>

export const supervised = Flags.toggle("supervised", "somebody starts it again when it exits with code 75")

/** What sd_listen_fds(3) calls SD_LISTEN_FDS_START. */
const FIRST_FD = 3

/** The socket that systemd, or whoever does as it does, opened for this very process. */
export const listenFd = (env: Env): number | undefined =>
  env["LISTEN_PID"] === String(process.pid) && Number(env["LISTEN_FDS"]) >= 1 ? FIRST_FD : undefined

/** Whether what is written to stderr goes to the journal: a shell that a service started has the variable too. */
const isJournal = (stream: string | undefined): boolean => {
  if (stream === undefined) return false
  const { dev, ino } = Fs.fstatSync(2)
  return stream === `${dev}:${ino}`
}

const isService = (env: Env): boolean =>
  env["SYSTEMD_EXEC_PID"] === String(process.pid) ||
  (env["INVOCATION_ID"] !== undefined && (env["NOTIFY_SOCKET"] !== undefined || isJournal(env["JOURNAL_STREAM"])))

/** Whether somebody starts the program again when it exits with code 75; `variable` says so in place of the flag. */
export const isThere = (given: Given, variable: string): Effect.Effect<boolean, WrongUsage, Shell> =>
  Effect.gen(function* () {
    const { env } = yield* Shell
    if (yield* given.flag(supervised)) return true
    const said = env[variable] ?? ""
    if (said !== "") return !["0", "false", "no"].includes(said)
    return isService(env) || listenFd(env) !== undefined
  })
