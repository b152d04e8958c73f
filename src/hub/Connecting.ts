/**
 * A client's socket, from its `connect` to the end of its session (spec: wire 3): permitted, announced to the agent, then
 * waiting until the agent's session socket comes, from when on the relay has it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { Refusal } from "../protocol/Close.ts"
import { decodeNothing, encode } from "../protocol/Control.ts"
import type { Connect } from "../protocol/Control.ts"
import { SESSION_JOIN_TIMEOUT } from "../protocol/Limits.ts"
import * as SessionId from "../protocol/SessionId.ts"
import type { CarrierClosed } from "../transport/Carrier.ts"
import type { Inbox } from "../transport/Inbox.ts"
import { Authority } from "./Authority.ts"
import { Directory } from "./Directory.ts"
import { isMachineName } from "./internal/machineName.ts"
import { nextMessage } from "./internal/nextMessage.ts"
import { refused, refusedStranger } from "./Refused.ts"
import type { Refused } from "./Refused.ts"
import { Sessions } from "./Sessions.ts"

/** Deployed clients end on "invalid token" and retry on anything else. */
const invalidToken = `${Refusal.accessDenied}: invalid token`

const noServiceGrants =
  "your grant is limited to some services, which the agent of this machine is too old to enforce; upgrade telad there"

/** Opens the session and tells the agent, if the token may. Asks the policy before it looks whether there is a machine. */
const ask = (inbox: Inbox, said: Connect) =>
  Effect.gen(function* () {
    const authority = yield* Authority
    const directory = yield* Directory
    const sessions = yield* Sessions
    const { identity: key, machineId = "", token, wgPubKey = "" } = said
    // What can be no machine's name is nobody's, and keeps out of the log.
    const name = isMachineName(machineId) ? machineId : ""
    const principal = authority.identify(token === undefined ? undefined : Redacted.make(token))
    if (principal === undefined) return yield* refusedStranger(invalidToken)
    const decision = authority.ask({ identity: principal, permission: "connect", machine: name })
    if (!decision.permit) return yield* refused(Refusal.accessDenied, decision.rule)
    const machine = directory.find(name)
    if (machine?.agent === undefined) {
      return yield* refused(Refusal.machineNotFound, machine ? `${name} is offline` : `nobody registered ${name}`)
    }
    // Whose right to be this machine has ended may go on with what it has, and gets nothing new.
    const standing = authority.ask({ identity: machine.agent.principal, permission: "register", machine: name })
    if (!standing.permit) return yield* refused(Refusal.machineNotFound, `its agent may not be it: ${standing.rule}`)
    if (decision.services !== undefined && !machine.about.serviceGrants) {
      return yield* refused(noServiceGrants, decision.rule)
    }
    // Deployed ends put this into a configuration text as it is.
    if (!/^[0-9a-f]{64}$/i.test(wgPubKey)) return yield* refused("connect: wgPubKey must be 64 hex characters")
    const session = sessions.open({ machine: name, principal, client: inbox, wgPubKey })
    if (session === undefined) return yield* refused(Refusal.tooManySessions)
    const client = {
      principal: principal.id,
      revision: authority.snapshot().revision,
      ...(key !== undefined && { key }),
      ...(decision.services !== undefined && { services: decision.services })
    }
    const request = { type: "session-request", sessionId: session.id, sessionIdx: session.index, wgPubKey, client }
    machine.agent.carrier.sendText(encode({ ...request, type: "session-request" }))
    return session
  })

/** Listens to a client that has nothing to say yet, so that its leaving is seen. */
const untilRefused = (inbox: Inbox): Effect.Effect<never, Refused | CarrierClosed> => nextMessage(inbox, decodeNothing)

/** Serves a client until its session is over. `admit` is called once the agent has been asked. */
export const serve = (
  inbox: Inbox,
  admit: () => void,
  said: Connect
): Effect.Effect<void, Refused | CarrierClosed, Authority | Directory | Sessions> =>
  Effect.gen(function* () {
    const sessions = yield* Sessions
    const session = yield* ask(inbox, said)
    admit()
    yield* Effect.gen(function* () {
      yield* Effect.logInfo("session asked for")
      yield* Effect.raceFirst(Deferred.await(session.settled), untilRefused(inbox)).pipe(
        Effect.catchTag("CarrierClosed", () => Effect.sync(() => sessions.end(session, "client left"))),
        Effect.timeout(SESSION_JOIN_TIMEOUT),
        Effect.catchTag("TimeoutException", () => Effect.sync(() => sessions.end(session, "agent did not join")))
      )
      const { relayed, why } = yield* Deferred.await(session.ended)
      yield* Effect.annotateLogs(Effect.logInfo("session ended"), { why, ...relayed })
    }).pipe(
      Effect.ensuring(Effect.sync(() => sessions.end(session, "client left"))),
      Effect.annotateLogs({
        machine: session.machine,
        session: SessionId.logged(session.id),
        principal: session.principal.id,
        peer: inbox.carrier.peer
      })
    )
  })
