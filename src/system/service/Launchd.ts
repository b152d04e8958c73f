/**
 * launchd, through launchctl: daemons of the system, and agents of the user who is logged in.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { MANAGER_LOOK, MANAGER_STOP_TIMEOUT } from "../../protocol/Limits.ts"
import { ManagerCall } from "./ManagerCall.ts"
import { failed, type Manager, type Subject } from "./Manager.ts"
import { label, plist } from "./Plist.ts"
import { ServiceError } from "./ServiceError.ts"

/** What `launchctl print` says after a name and an equals sign. */
const said = (text: string, name: string): string | undefined =>
  new RegExp(`^\\s*${name} = (.*)$`, "m").exec(text)?.[1]?.trim()

/** launchd for one service; `uid` is that of the user whose agent it is. */
export const make = ({ name, place, scope }: Subject, uid: number): Manager => {
  const domain = scope === "system" ? "system" : `gui/${uid}`
  const target = `${domain}/${label(name)}`

  const call = (args: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const { run } = yield* ManagerCall
      const answer = yield* run("launchctl", args)
      if (answer !== undefined) return answer
      return yield* new ServiceError({ problem: "launchctl is not installed here, so that no service can be started" })
    })

  const act = (...args: ReadonlyArray<string>) =>
    Effect.flatMap(call(args), (answer) =>
      answer.code === 0 ? Effect.void : failed(`launchctl ${args.join(" ")}`, answer)
    )

  /** What launchd knows of the service; undefined when it has not loaded it. */
  const loaded = Effect.map(call(["print", target]), ({ code, stdout }) => (code === 0 ? stdout : undefined))

  /** It takes the service out at once and answers before the program has left, which may drain. */
  const unloaded = Effect.gen(function* () {
    const deadline = (yield* Clock.currentTimeMillis) + MANAGER_STOP_TIMEOUT
    let pause: number = MANAGER_LOOK.first
    while ((yield* loaded) !== undefined) {
      if ((yield* Clock.currentTimeMillis) > deadline) {
        return yield* new ServiceError({ problem: `${target} does not end; see: launchctl print ${target}` })
      }
      yield* Effect.sleep(pause)
      pause = Math.min(MANAGER_LOOK.most, pause * 2)
    }
  })

  const stop = Effect.flatMap(loaded, (text) =>
    text === undefined
      ? Effect.void
      : Effect.zipRight(
          Effect.flatMap(call(["bootout", target]), (answer) =>
            // 36: under way, 3: gone meanwhile.
            [0, 3, 36].includes(answer.code) ? Effect.void : failed(`launchctl bootout ${target}`, answer)
          ),
          unloaded
        )
  )

  const start = Effect.flatMap(loaded, (text) =>
    text === undefined ? act("bootstrap", domain, place.definitionFile) : act("kickstart", target)
  )

  return {
    title: "launchd",
    service: label(name),
    notes: [],
    readsVariables: false,
    log: place.logFile ?? "the system's log",
    text: plist,
    encoding: "utf8",
    available: Effect.flatMap(call(["print", domain]), (answer) =>
      answer.code === 0 ? Effect.void : failed(`launchd has no ${domain} here`, answer, "log in at the machine first")
    ),
    // Read from its folder at boot or login; somebody may have switched it off before.
    register: act("enable", target),
    leave: stop,
    forget: Effect.void,
    start,
    stop,
    restart: Effect.zipRight(stop, start),
    state: Effect.map(loaded, (text) => {
      const state = text === undefined ? "not loaded" : (said(text, "state") ?? "unknown")
      const pid = text === undefined ? undefined : said(text, "pid")
      const last = text === undefined ? undefined : said(text, "last exit code")
      const parts = [state, ...(pid === undefined ? [] : [`pid ${pid}`]), ...(last ? [`last exit code ${last}`] : [])]
      return { running: state === "running", enabled: true, status: parts.join(", ") }
    })
  }
}
