/**
 * A client's socket, from its `connect` to the end of its session (spec: wire 3): permitted, if need be waiting until the
 * agent is back, announced to it, then waiting until its session socket comes, from when on the relay has it.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { Refusal } from "../protocol/Close.ts"
import { decodeNothing, encode } from "../protocol/Control.ts"
import type { Connect } from "../protocol/Control.ts"
import { REGISTRATION_WAIT, SESSION_JOIN_TIMEOUT } from "../protocol/Limits.ts"
import * as SessionId from "../protocol/SessionId.ts"
import { Audit } from "../store/Audit.ts"
import { capsOf } from "../store/HubLimits.ts"
import type { CarrierClosed } from "../transport/Carrier.ts"
import type { Inbox } from "../transport/Inbox.ts"
import { Arrivals } from "./Arrivals.ts"
import type { Awaited } from "./Arrivals.ts"
import { Authority } from "./Authority.ts"
import { Directory } from "./Directory.ts"
import type { Machine } from "./Directory.ts"
import { Drain } from "./Drain.ts"
import { Enforcement } from "./Enforcement.ts"
import { denied } from "./internal/denied.ts"
import { isMachineName } from "./internal/machineName.ts"
import { nameNow } from "./internal/nameNow.ts"
import { nextMessage } from "./internal/nextMessage.ts"
import { unenforced } from "./internal/serviceGrants.ts"
import { openSession, tooManyWait } from "./Limits.ts"
import { refused, refusedStranger } from "./Refused.ts"
import type { Refused } from "./Refused.ts"
import { Sessions } from "./Sessions.ts"
import type { Session } from "./Sessions.ts"

type Services = Arrivals | Authority | Directory | Drain | Sessions | Enforcement | Audit

/** Deployed clients end on "invalid token" and retry on anything else. */
const invalidToken = `${Refusal.accessDenied}: invalid token`

/** The services that a client says it is after, as the deployed hub's history has them (spec: hub-api 5). */
const wanted = (ports: ReadonlyArray<number>, { about }: Machine): string => {
  const names = ports.map((port) => {
    const name = about.services.find((service) => service.port === port)?.name ?? ""
    return name === "" ? `${port}` : `${name}:${port}`
  })
  return names.length === 0 ? "" : `services=${names.join(",")}`
}

/** What came of asking: a session that the agent was told of, or that its agent may be there in a moment. */
type Asked =
  | { readonly _tag: "Opened"; readonly session: Session; readonly detail: string }
  | { readonly _tag: "Absent"; readonly awaited: Awaited }

/**
 * Opens the session and tells the agent, if the token may. Asks the policy before it looks whether there is a machine. One
 * that is expected back is absent until `deadline`, and not found from then on.
 */
const ask = (
  inbox: Inbox,
  said: Connect,
  deadline: number
): Effect.Effect<Asked, Refused, Exclude<Services, Arrivals>> =>
  Effect.gen(function* () {
    yield* (yield* Drain).admits
    const authority = yield* Authority
    const directory = yield* Directory
    const enforcement = yield* Enforcement
    const audit = yield* Audit
    const { identity: key, machineId = "", ports = [], token, wgPubKey = "" } = said
    // What can be no machine's name is nobody's, and keeps out of the log.
    const name = isMachineName(machineId) ? machineId : ""
    const principal = authority.identify(token === undefined ? undefined : Redacted.make(token))
    const attempt = { action: "client-connect", machine: name, from: inbox.carrier.peer } as const
    if (principal === undefined) return yield* denied(attempt, refusedStranger(invalidToken))
    const by = { ...attempt, actor: principal.id }
    const decision = authority.ask({ identity: principal, permission: "connect", machine: name })
    if (!decision.permit) return yield* denied(by, refused(Refusal.accessDenied, decision.rule))
    const machine = directory.find(name)
    if (machine?.agent === undefined) {
      const until = Math.min(deadline, decision.until ?? deadline)
      const now = yield* Clock.currentTimeMillis
      if (machine !== undefined && now < Math.min(until, machine.expectedUntil)) {
        return { _tag: "Absent", awaited: { machine: name, tokenHash: principal.tokenHash, until } }
      }
      return yield* refused(Refusal.machineNotFound, machine ? `${name} is offline` : `nobody registered ${name}`)
    }
    // A right that has just expired counts for nothing, whether or not its registration has been ended by now.
    const standing = authority.ask({ identity: machine.agent.principal, permission: "register", machine: name })
    if (!standing.permit) return yield* refused(Refusal.machineNotFound, `its agent may not be it: ${standing.rule}`)
    const without = unenforced(decision, machine)
    if (without !== undefined) return yield* denied(by, refused(without, decision.rule))
    // Deployed ends put this into a configuration text as it is.
    if (!/^[0-9a-f]{64}$/i.test(wgPubKey)) return yield* refused("connect: wgPubKey must be 64 hex characters")
    const { services, until } = decision
    const resumes = said.resumes === true && machine.about.capabilities?.["resumes"] === true
    const asked = { machine: name, principal, services, client: inbox, key, wgPubKey, resumes }
    const session = yield* openSession(asked, by)
    enforcement.watch(principal.tokenHash, until)
    const client = {
      principal: principal.id,
      revision: authority.snapshot().revision,
      ...(key !== undefined && { key }),
      ...(services !== undefined && { services }),
      // Our agents enforce this, too, and say so by either; others know nothing of it.
      ...((machine.about.serviceGrants || machine.about.capabilities?.["resumes"] === true) && {
        streams: capsOf(authority.limits(), principal).streams
      })
    }
    const request = { type: "session-request", sessionId: session.id, sessionIdx: session.index, wgPubKey, client }
    machine.agent.carrier.sendText(encode({ ...request, type: "session-request" }))
    const detail = wanted(ports, machine)
    audit.note({ ...by, outcome: "ok", detail })
    return { _tag: "Opened", session, detail }
  })

/** Listens to a client that has nothing to say yet, so that its leaving is seen. */
const untilRefused = (inbox: Inbox): Effect.Effect<never, Refused | CarrierClosed> => nextMessage(inbox, decodeNothing)

/** Asks, and asks again when the machine may have come. `admit` is called before waiting: the token is one that may. */
const open = (inbox: Inbox, admit: () => void, said: Connect) =>
  Effect.gen(function* () {
    const arrivals = yield* Arrivals
    const deadline = (yield* Clock.currentTimeMillis) + REGISTRATION_WAIT
    while (true) {
      const asked = yield* ask(inbox, said, deadline)
      if (asked._tag === "Opened") return asked
      admit()
      const { machine } = asked.awaited
      yield* Effect.logDebug("waits for its machine").pipe(Effect.annotateLogs({ machine, peer: inbox.carrier.peer }))
      const woken = yield* Effect.raceFirst(arrivals.wait(asked.awaited), untilRefused(inbox))
      if (woken !== "woken") return yield* tooManyWait(woken, machine)
    }
  })

/** Serves a client until its session is over. `admit` is called once the agent has been asked. */
export const serve = (
  inbox: Inbox,
  admit: () => void,
  said: Connect
): Effect.Effect<void, Refused | CarrierClosed, Services> =>
  Effect.gen(function* () {
    const authority = yield* Authority
    const sessions = yield* Sessions
    const audit = yield* Audit
    const { detail, session } = yield* open(inbox, admit, said)
    const { machine, principal } = session
    admit()
    yield* Effect.gen(function* () {
      yield* Effect.logInfo("session asked for")
      yield* Effect.raceFirst(Deferred.await(session.settled), untilRefused(inbox)).pipe(
        Effect.catchTag("CarrierClosed", () => Effect.sync(() => sessions.end(session, "client left"))),
        Effect.timeout(SESSION_JOIN_TIMEOUT),
        Effect.catchTag("TimeoutException", () => Effect.sync(() => sessions.end(session, "agent did not join")))
      )
      const { relayed, rule, why } = yield* Deferred.await(session.ended)
      const actor = nameNow(authority.snapshot(), session.principal)
      const left = { action: "client-disconnect", machine, actor, from: inbox.carrier.peer } as const
      audit.note({ ...left, outcome: "ok", why, detail: detail || "client disconnected" })
      yield* Effect.annotateLogs(Effect.logInfo("session ended"), {
        why,
        ...(rule !== undefined && { rule }),
        ...relayed
      })
    }).pipe(
      Effect.ensuring(Effect.sync(() => sessions.end(session, "client left"))),
      Effect.annotateLogs({
        machine,
        session: SessionId.logged(session.id),
        principal: principal.id,
        peer: inbox.carrier.peer
      })
    )
  })
