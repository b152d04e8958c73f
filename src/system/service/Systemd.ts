/**
 * systemd, through systemctl: the system's manager, or the one that each user has.
 */
import * as Effect from "effect/Effect"
import { MANAGER_STOP_TIMEOUT } from "../../protocol/Limits.ts"
import { ManagerCall } from "./ManagerCall.ts"
import { failed, type Manager, type ServiceState, type Subject } from "./Manager.ts"
import { ServiceError } from "./ServiceError.ts"
import { unit } from "./Unit.ts"

const elsewhere =
  "without a service manager, have your own supervisor run the program, and start it again when it exits with code 75"

/** `ActiveState=active` and so on, one a line. */
const propertiesOf = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text.split("\n").flatMap((line) => {
      const at = line.indexOf("=")
      return at === -1 ? [] : [[line.slice(0, at), line.slice(at + 1).trim()] as const]
    })
  )

const stateOf = (properties: ReadonlyMap<string, string>): ServiceState => {
  const of = (key: string) => properties.get(key) ?? ""
  const active = of("ActiveState")
  const since = of("ActiveEnterTimestamp")
  const parts = [
    `${active} (${of("SubState")})`,
    ...(of("MainPID") === "0" || of("MainPID") === "" ? [] : [`pid ${of("MainPID")}`]),
    ...(active === "active" && since !== "" ? [`since ${since}`] : []),
    ...(active === "failed" ? [of("Result")] : []),
    ...(active === "active" && of("StatusText") !== "" ? [of("StatusText")] : [])
  ]
  return {
    running: !["", "0"].includes(of("MainPID")),
    enabled: of("UnitFileState").startsWith("enabled"),
    status: parts.join(", ")
  }
}

/** systemd for one service. */
export const make = ({ name, scope }: Subject): Manager => {
  const isUser = scope === "user"
  const service = `${name}.service`
  const log = `journalctl ${isUser ? "--user " : ""}-u ${name}`

  const call = (args: ReadonlyArray<string>, within?: number) =>
    Effect.gen(function* () {
      const { run } = yield* ManagerCall
      const answer = yield* run("systemctl", isUser ? ["--user", ...args] : args, within)
      if (answer !== undefined) return answer
      return yield* new ServiceError({ problem: `systemctl is not installed here; ${elsewhere}` })
    })

  const act = (verb: string, args: ReadonlyArray<string>, within?: number, hint?: string) =>
    Effect.flatMap(call([verb, ...args], within), (answer) =>
      answer.code === 0 ? Effect.void : failed(`systemctl ${verb} ${args.join(" ")}`.trim(), answer, hint)
    )

  const reload = act("daemon-reload", [])

  return {
    title: isUser ? "systemd of this user" : "systemd",
    service,
    notes: isUser
      ? ["it starts when you log in, and ends when you log out, unless you run: loginctl enable-linger"]
      : [],
    readsVariables: true,
    log,
    text: unit,
    encoding: "utf8",
    available: Effect.flatMap(call(["show", "--property=Version", "--value"]), (answer) => {
      if (answer.code === 0) return Effect.void
      const hint = isUser ? "log in as that user, not by su or sudo" : elsewhere
      return failed(`systemd ${isUser ? "of this user " : ""}does not run here`, answer, hint)
    }),
    register: Effect.zipRight(reload, act("enable", [service])),
    leave: act("disable", ["--now", service], MANAGER_STOP_TIMEOUT),
    forget: reload,
    start: act("start", [service], MANAGER_STOP_TIMEOUT, `see: ${log}`),
    stop: act("stop", [service], MANAGER_STOP_TIMEOUT),
    restart: act("restart", [service], MANAGER_STOP_TIMEOUT, `see: ${log}`),
    state: Effect.gen(function* () {
      const names = [
        "ActiveState",
        "SubState",
        "UnitFileState",
        "MainPID",
        "ActiveEnterTimestamp",
        "Result",
        "StatusText"
      ]
      const answer = yield* call(["show", `--property=${names.join(",")}`, service])
      if (answer.code !== 0) return yield* failed("systemctl show", answer)
      return stateOf(propertiesOf(answer.stdout))
    })
  }
}
