/**
 * The Windows Task Scheduler, through schtasks. A service is a task of one user; there are none of the system.
 */
import * as Effect from "effect/Effect"
import { ManagerCall } from "./ManagerCall.ts"
import { failed, type Manager, type Subject } from "./Manager.ts"
import { ServiceError } from "./ServiceError.ts"
import { task, taskName } from "./Task.ts"

/** What Get-ScheduledTask calls the states of a task, by number, since its words are translated. */
const states = ["unknown", "disabled", "queued", "ready", "running"]
const RUNNING = 4
const DISABLED = 1

/** The Task Scheduler for one service of the user `DOMAIN\\name`. */
export const make = ({ name, place }: Subject, user: string): Manager => {
  const taskPath = taskName(name)

  const call = (command: string, args: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const { run } = yield* ManagerCall
      const answer = yield* run(command, args)
      if (answer !== undefined) return answer
      return yield* new ServiceError({ problem: `${command} is not installed here, so that no service can be started` })
    })

  const act = (...args: ReadonlyArray<string>) =>
    Effect.flatMap(call("schtasks", args), (answer) =>
      answer.code === 0 ? Effect.void : failed(`schtasks ${args.join(" ")}`, answer)
    )

  const numbered = Effect.gen(function* () {
    const script = `[int](Get-ScheduledTask -TaskPath '\\Tela\\' -TaskName '${name}' -ErrorAction Stop).State`
    const answer = yield* call("powershell", ["-NoProfile", "-NonInteractive", "-Command", script])
    if (answer.code !== 0) return yield* failed(`task ${taskPath}`, answer)
    return Number(answer.stdout.trim())
  })

  const start = act("/Run", "/TN", taskPath)
  const stop = Effect.flatMap(numbered, (state) => (state === RUNNING ? act("/End", "/TN", taskPath) : Effect.void))

  return {
    title: "the Task Scheduler",
    service: taskPath,
    notes: ["it starts when you log on, in a window of its own"],
    readsVariables: false,
    log: "the window that it opened",
    text: (definition) => task(definition, user),
    encoding: "utf16le",
    available: act("/Query", "/FO", "LIST"),
    register: act("/Create", "/TN", taskPath, "/XML", place.definitionFile, "/F"),
    leave: Effect.zipRight(stop, act("/Delete", "/TN", taskPath, "/F")),
    forget: Effect.void,
    start,
    stop,
    restart: Effect.zipRight(stop, start),
    state: Effect.map(numbered, (state) => ({
      running: state === RUNNING,
      enabled: state !== DISABLED,
      status: states[state] ?? "unknown"
    }))
  }
}
