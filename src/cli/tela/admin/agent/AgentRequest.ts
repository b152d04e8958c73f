/**
 * What the commands of `tela admin agent` have in common: the machine that is meant, asking its agent through the hub, and
 * waiting until it is back.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { HubError } from "../../../../client/HubError.ts"
import type { Presence } from "../../../../protocol/api/Agents.ts"
import { AGENT_RETURN_LOOK, AGENT_RETURN_WAIT } from "../../../../protocol/Limits.ts"
import { isReading } from "../../../../protocol/Management.ts"
import { printable } from "../../../../protocol/Printable.ts"
import type { Given } from "../../../Command.ts"
import { Failed, type Failure, WrongUsage } from "../../../Failure.ts"
import * as Flags from "../../../Flags.ts"
import type { Shell } from "../../../Shell.ts"
import { type Admin, hubFlags, open, segment } from "../AdminFlags.ts"

/** Without a variable: what is set for `tela connect` must not be restarted. */
export const machine = Flags.text({
  name: "machine",
  placeholder: "NAME",
  description: "the machine whose agent is meant"
})

/** What every command about one agent takes. */
export const agentFlags: ReadonlyArray<Flags.Flag<unknown>> = [machine, ...hubFlags]

/** What an agent answered that it did. */
export interface Answered<A> {
  readonly message: string | undefined
  readonly payload: A
}

/** The agent of one machine. */
export interface Agent {
  readonly machine: string
  readonly admin: Admin
  /** Asks for an action, and takes the payload of the answer. An answer that it was not done fails. */
  readonly ask: <A, I>(
    action: string,
    payload: object,
    answer: Schema.Schema<A, I>
  ) => Effect.Effect<Answered<A>, Failed>
  /** The same, for whoever has to tell failures apart. */
  readonly tryAsk: <A, I>(
    action: string,
    payload: object,
    answer: Schema.Schema<A, I>
  ) => Effect.Effect<Answered<A>, Failed | HubError>
  /** Whether the agent is there; undefined where the hub does not say. */
  readonly presence: Effect.Effect<Presence | undefined>
}

/** Names that no path can have are none; two that a path would take for something else, too. */
const readMachine = (given: Given): Effect.Effect<string, WrongUsage> =>
  Effect.flatMap(given.required(machine), (name) =>
    name === "." || name === ".." || name === "*"
      ? new WrongUsage({ message: `-machine: "${name}" is no machine` })
      : Effect.succeed(name)
  )

/** The agent that the command line means. */
export const agent = (given: Given): Effect.Effect<Agent, Failure, Shell> =>
  Effect.gen(function* () {
    const name = yield* readMachine(given)
    const admin = yield* open(given)
    const tryAsk: Agent["tryAsk"] = (action, payload, schema) =>
      Effect.gen(function* () {
        const path = { machine: segment(name), action }
        const answer = yield* admin.patient((api, headers) =>
          isReading(action) && Object.keys(payload).length === 0
            ? api.agents.read({ path, headers })
            : api.agents.ask({ path, headers, payload })
        )
        const { message = "", ok } = answer
        if (!ok) return yield* new Failed({ message: `${name}: ${printable(message) || "the agent says no"}` })
        const taken = yield* Effect.mapError(
          Schema.decodeUnknown(schema)(answer.payload ?? {}),
          () => new Failed({ message: `${name}: the agent answered with something else than was asked for` })
        )
        return { message: message === "" ? undefined : message, payload: taken }
      })
    const explained = (error: Failed | HubError): Failed => (error._tag === "Failed" ? error : admin.explain(error))
    return {
      machine: name,
      admin,
      tryAsk,
      ask: (action, payload, schema) => Effect.mapError(tryAsk(action, payload, schema), explained),
      presence: Effect.orElseSucceed(
        admin.tryAsk((api, headers) => api.agents.presence({ path: { machine: segment(name) }, headers })),
        () => undefined
      )
    }
  })

/**
 * Waits until the agent is registered anew, and says after how many milliseconds; undefined where the hub does not tell one
 * registration from the next.
 */
export const returned = (
  { admin, machine: name, presence }: Agent,
  before: Presence | undefined
): Effect.Effect<number | undefined, Failed> =>
  Effect.gen(function* () {
    if (before?.registeredAt === undefined) return undefined
    const begun = yield* Clock.currentTimeMillis
    while (true) {
      yield* Effect.sleep(AGENT_RETURN_LOOK)
      const now = yield* presence
      const since = (yield* Clock.currentTimeMillis) - begun
      if (now?.agentConnected === true && now.registeredAt !== before.registeredAt) return since
      if (since < AGENT_RETURN_WAIT) continue
      return yield* new Failed({
        message: `${name} is not back after ${AGENT_RETURN_WAIT / 1_000} s; see whether its agent runs, or what ${admin.hub} logs of it`
      })
    }
  })
