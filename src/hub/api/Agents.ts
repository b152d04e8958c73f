/** Agents managed through the hub (spec: hub-api 1.12, 1.13): who may ask what of whom, and what came of it. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { AgentAnswer, Presence } from "../../protocol/api/Agents.ts"
import { formatInstant } from "../../protocol/Duration.ts"
import { HubApi } from "../../protocol/HubApi.ts"
import { FOLLOWING_RECORDED } from "../../protocol/Limits.ts"
import { isReading } from "../../protocol/Management.ts"
import { quoted } from "../../protocol/Printable.ts"
import { label } from "../../protocol/Service.ts"
import { Audit } from "../../store/Audit.ts"
import type { AuditEvent } from "../../store/Audit.ts"
import { Authority } from "../Authority.ts"
import type { Caller } from "../Authority.ts"
import { Directory } from "../Directory.ts"
import type { Agent, Machine } from "../Directory.ts"
import * as Managed from "../internal/managed.ts"
import { Management } from "../Management.ts"
import type { Unanswered } from "../Management.ts"
import * as RateLimit from "../RateLimit.ts"
import { answering, json } from "./Answer.ts"
import { somebody } from "./Asker.ts"
import { anyBodyOf } from "./Body.ts"
import * as List from "./List.ts"
import { bad, conflict, forbidden, notFound, Problem } from "./Problem.ts"

const presenceOf = ({ about, agent, lastSeen, name, registeredAt }: Machine, now: number): Presence => ({
  id: name,
  agentConnected: agent !== undefined,
  lastSeen: formatInstant(agent === undefined ? lastSeen : now),
  registeredAt: new Date(registeredAt).toISOString(),
  ...(about.agentVersion !== undefined && { agentVersion: about.agentVersion }),
  services: about.services.map(label),
  manageable: agent?.management !== undefined
})

/** The machines that somebody may manage. */
const list = (request: HttpServerRequest) =>
  Effect.gen(function* () {
    const { identity } = yield* somebody(request)
    const authority = yield* Authority
    const machines = (yield* Directory)
      .list()
      .filter(({ name }) => authority.ask({ identity, permission: "manage", machine: name }).permit)
    if (machines.length === 0 && !authority.ask({ identity, permission: "admin" }).permit) {
      return yield* forbidden(`${identity.id} may manage no machine; this needs a manage grant`)
    }
    const now = yield* Clock.currentTimeMillis
    return yield* List.list("agents", machines, (machine) => presenceOf(machine, now))
  })

/** Whether an agent is there, for whoever may see or manage its machine. */
const presence = (request: HttpServerRequest, name: string) =>
  Effect.gen(function* () {
    const { identity } = yield* somebody(request)
    const authority = yield* Authority
    const may = (permission: "view" | "manage") => authority.ask({ identity, permission, machine: name }).permit
    const machine = may("view") || may("manage") ? (yield* Directory).find(name) : undefined
    if (machine === undefined) return yield* notFound(`there is no machine ${quoted(name)} that you may see`)
    return json<Presence>(presenceOf(machine, yield* Clock.currentTimeMillis))
  })

const offline = ({ lastSeen, name }: Machine): Problem =>
  new Problem({
    status: 503,
    error: `the agent of ${name} is not connected; it was last seen ${formatInstant(lastSeen)}`,
    more: { offline: true }
  })

const ofUnanswered = (name: string, { kind, message }: Unanswered): Problem => {
  switch (kind) {
    case "busy":
      return new Problem({ status: 503, error: message, headers: { "retry-after": "1" } })
    case "gone":
    case "garbage":
      return new Problem({ status: 502, error: `${name}: ${message}` })
    case "silent":
      return new Problem({ status: 504, error: `${name}: ${message}` })
  }
}

/** Why the caller may not touch one of the other machines; it is named only to those who may see it. */
const forbiddenBy = (
  authority: typeof Authority.Service,
  { identity }: Caller,
  action: string,
  others: ReadonlyArray<string>
): string | undefined => {
  const denied = others.find((machine) => !authority.ask({ identity, permission: "manage", machine }).permit)
  if (denied === undefined) return undefined
  const maySee = authority.ask({ identity, permission: "view", machine: denied }).permit
  const which = maySee ? quoted(denied) : "another machine"
  return `${quoted(action)} touches every machine of this agent, and ${identity.id} has no manage grant on ${which}`
}

/** What is to be asked of which agent, once it is certain that the caller may. */
interface Permitted {
  readonly agent: Agent
  readonly payload: unknown
}

const permitted = (
  caller: Caller,
  name: string,
  action: string,
  said: unknown
): Effect.Effect<Permitted, Problem, Authority | Directory> =>
  Effect.gen(function* () {
    const authority = yield* Authority
    const directory = yield* Directory
    const { identity } = caller
    // Before anything else, so that nobody learns names by asking.
    const decision = authority.ask({ identity, permission: "manage", machine: name })
    if (!decision.permit) return yield* forbidden(`${decision.rule}; this needs a manage grant on the machine`)
    const machine = directory.find(name)
    if (machine === undefined) return yield* notFound(`no machine is called ${quoted(name)}`)
    const { agent } = machine
    if (agent === undefined) return yield* offline(machine)
    if (agent.management === undefined) {
      return yield* conflict(
        `the agent of ${name} takes no requests from afar; it is too old, or a part of another program`
      )
    }
    const others = Managed.othersTouched(directory, machine, agent, action)
    const why = forbiddenBy(authority, caller, action, others)
    if (why !== undefined) return yield* forbidden(why)
    const payload = yield* Effect.mapError(Managed.payloadFor(agent, name, action, said), bad)
    if (Managed.choosesCode(action, payload) && identity.role !== "owner") {
      return yield* forbidden("where an agent's code comes from is for an owner to choose")
    }
    return { agent, payload }
  })

/** Who asks the same again and again is recorded once in a while. */
type IsNews = (caller: Caller, name: string, action: string, now: number) => boolean

const isNews = (): IsNews => {
  const recent = RateLimit.make({ perSecond: 1_000 / FOLLOWING_RECORDED, burst: 1 })
  return ({ identity }, name, action, now) => recent.take(`${identity.tokenHash} ${action} ${name}`, now) === 0
}

const ask = (request: HttpServerRequest, name: string, action: string, news: IsNews) =>
  Effect.gen(function* () {
    const caller = yield* somebody(request)
    const audit = yield* Audit
    const management = yield* Management
    if (request.method === "GET" && !isReading(action)) {
      const error = `${quoted(action)} is no question; ask with POST`
      return yield* new Problem({ status: 405, error, headers: { allow: "POST, PUT" } })
    }
    const said = request.method === "GET" ? undefined : yield* anyBodyOf(request)
    const event: Omit<AuditEvent, "outcome"> = {
      action: "agent-manage",
      actor: caller.identity.id,
      from: caller.from,
      machine: name,
      detail: Managed.detailOf(action, said)
    }
    const { agent, payload } = yield* Effect.tapError(permitted(caller, name, action, said), ({ error, status }) =>
      Effect.sync(() => {
        if (status === 403) audit.note({ ...event, outcome: "denied", why: error })
      })
    )
    if (isReading(action)) {
      const now = yield* Clock.currentTimeMillis
      if (!Managed.isRepeated(action, said) || news(caller, name, action, now)) audit.note({ ...event, outcome: "ok" })
    }
    const answer = yield* management
      .ask(agent.carrier, { action, payload, principal: caller.identity.id, follows: Managed.follows(action, payload) })
      .pipe(
        Effect.tapError(({ message }) => audit.record([{ ...event, outcome: "failed", why: message }])),
        Effect.mapError((unanswered) => ofUnanswered(name, unanswered))
      )
    // A follower may have waited; meanwhile the right can have ended.
    const decision = (yield* Authority).ask({ identity: caller.identity, permission: "manage", machine: name })
    if (!decision.permit && isReading(action)) return yield* forbidden(decision.rule)
    if (!isReading(action)) {
      const { message: why = "the agent says no" } = answer
      yield* audit.record([answer.ok ? { ...event, outcome: "ok" } : { ...event, outcome: "failed", why }])
    }
    const { message, ok, payload: told, requestId } = answer
    return json<typeof AgentAnswer.Encoded>({
      type: "mgmt-response",
      requestId,
      ok,
      ...(message !== undefined && { message }),
      ...(told !== undefined && { payload: told })
    })
  })

export const layer = HttpApiBuilder.group(HubApi, "agents", (handlers) => {
  const news = isNews()
  return handlers
    .handleRaw("list", ({ request }) => answering(list(request)))
    .handleRaw("presence", ({ path, request }) => answering(presence(request, path.machine)))
    .handleRaw("read", ({ path, request }) => answering(ask(request, path.machine, path.action, news)))
    .handleRaw("ask", ({ path, request }) => answering(ask(request, path.machine, path.action, news)))
    .handleRaw("put", ({ path, request }) => answering(ask(request, path.machine, path.action, news)))
})
