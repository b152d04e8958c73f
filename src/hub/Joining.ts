/**
 * An agent's session socket, from its `session-join` to the end of the session (spec: wire 3.5). Knowing the session's id
 * is what admits it; whether the session may still be is asked again.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { Refusal } from "../protocol/Close.ts"
import type { SessionJoin } from "../protocol/Control.ts"
import * as SessionId from "../protocol/SessionId.ts"
import type { Inbox } from "../transport/Inbox.ts"
import { Authority } from "./Authority.ts"
import { Directory } from "./Directory.ts"
import { Enforcement } from "./Enforcement.ts"
import { refused, refusedStranger } from "./Refused.ts"
import type { Refused } from "./Refused.ts"
import { Sessions } from "./Sessions.ts"

/** Serves an agent's session socket until the session is over. `admit` is called once it has been paired. */
export const serve = (
  inbox: Inbox,
  admit: () => void,
  said: SessionJoin
): Effect.Effect<void, Refused, Authority | Directory | Sessions | Enforcement> =>
  Effect.gen(function* () {
    const authority = yield* Authority
    const directory = yield* Directory
    const sessions = yield* Sessions
    const enforcement = yield* Enforcement
    const { machineId: machine = "", sessionId = "" } = said
    if (directory.find(machine) === undefined) return yield* refusedStranger(Refusal.machineNotFound)
    const session = sessions.waiting(sessionId, machine)
    if (session === undefined) return yield* refusedStranger(Refusal.sessionNotFound)
    if (session.client.carrier.isClosed) return yield* refused(Refusal.clientGone)
    const decision = authority.ask({ identity: session.principal, permission: "connect", machine })
    if (!decision.permit) {
      enforcement.endSession(session, decision.rule)
      return yield* refused(Refusal.clientGone, decision.rule)
    }
    admit()
    sessions.pair(session, inbox)
    yield* Effect.logInfo("session up").pipe(
      Effect.annotateLogs({ machine, session: SessionId.logged(session.id), principal: session.principal.id })
    )
    yield* Deferred.await(session.ended)
  })
