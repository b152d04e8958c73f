/**
 * What the hub's limits refuse, and how it says so: by which limit, where that is set, and when to ask again. In the
 * record it is a denied attempt like any other.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Identity } from "../policy/Identity.ts"
import { Refusal } from "../protocol/Close.ts"
import {
  AWAITING_CONNECTS,
  AWAITING_CONNECTS_PER_IDENTITY,
  LIMIT_RETRY,
  REGISTRATION_WAIT
} from "../protocol/Limits.ts"
import type { Audit, AuditEvent } from "../store/Audit.ts"
import { capsOf, sessionsPlace } from "../store/HubLimits.ts"
import type { HubLimits } from "../store/HubLimits.ts"
import { countRefused } from "../telemetry/HubMetrics.ts"
import type { Crowd } from "./Arrivals.ts"
import { Authority } from "./Authority.ts"
import { denied } from "./internal/denied.ts"
import { refusedForNow } from "./Refused.ts"
import type { Refused } from "./Refused.ts"
import { Sessions } from "./Sessions.ts"
import type { Full, Session } from "./Sessions.ts"

const FILE = "the hub's telahubd.yaml"

const refusalOf = (full: Full, limits: HubLimits, principal: Identity): Refused => {
  switch (full) {
    case "hub":
      return refusedForNow(
        `Too many sessions on this hub (limit ${limits.sessions}): try again later, or raise limits.sessions in ${FILE}`,
        LIMIT_RETRY
      )
    case "identity": {
      const { sessions } = capsOf(limits, principal)
      return refusedForNow(
        `Too many sessions for ${principal.id} (limit ${sessions}): end one, or raise ` +
          `${sessionsPlace(limits, principal)} in ${FILE}`,
        LIMIT_RETRY
      )
    }
    case "machine":
      return refusedForNow(Refusal.tooManySessions, LIMIT_RETRY)
  }
}

/** Opens a session if the limits leave room for it; `attempt` is what is recorded when they do not. */
export const openSession = (
  asked: Parameters<(typeof Sessions.Service)["open"]>[0],
  attempt: Omit<AuditEvent, "outcome" | "why">
): Effect.Effect<Session, Refused, Authority | Sessions | Audit> =>
  Effect.gen(function* () {
    const sessions = yield* Sessions
    const limits = (yield* Authority).limits()
    const caps = capsOf(limits, asked.principal)
    const room = { hub: limits.sessions, identity: caps.sessions, bandwidth: caps.bandwidth }
    const opened = sessions.open(asked, room)
    if (Either.isRight(opened)) return opened.right
    countRefused(`${opened.left} sessions`)
    return yield* denied(attempt, refusalOf(opened.left, limits, asked.principal))
  })

/** For a client that may wait for its machine, when too many do. Who waits is served, or told otherwise, in REGISTRATION_WAIT. */
export const tooManyWait = (crowd: Crowd, machine: string): Refused => {
  countRefused("waiting")
  const [most, whose] =
    crowd === "hub" ? [AWAITING_CONNECTS, "on this hub"] : [AWAITING_CONNECTS_PER_IDENTITY, "with this token"]
  return refusedForNow(
    `${machine} is expected back, and too many wait for machines ${whose} (limit ${most}): try again in a moment`,
    REGISTRATION_WAIT / 2
  )
}

/** For an agent whose machine finds no place. */
export const tooManyMachines = (limits: HubLimits): Refused => {
  countRefused("machines")
  return refusedForNow(
    `register: too many machines on this hub (limit ${limits.machines}): stop one, or raise limits.machines in ${FILE}`,
    LIMIT_RETRY
  )
}
