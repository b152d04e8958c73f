/**
 * What happened, newest first (spec: hub-api 1.4, 5). Owners and admins see everything. Others see what agents and clients
 * did on the machines they may view, and what became of themselves there, under whatever name; who it was, from where and
 * why, only where it was themselves.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { ANY_MACHINE, machinesOf } from "../../policy/Identity.ts"
import type { Identity } from "../../policy/Identity.ts"
import type { HistoryAuthRequired, HistoryEvent, HistoryQuery } from "../../protocol/api/Self.ts"
import { formatInstant } from "../../protocol/Duration.ts"
import { HISTORY_DEFAULT, HISTORY_MAX, HISTORY_SCANNED } from "../../protocol/Limits.ts"
import { Audit } from "../../store/Audit.ts"
import type { AuditAction, AuditQuery, AuditRecord } from "../../store/Audit.ts"
import { Authority } from "../Authority.ts"
import { tokenOf } from "../Credentials.ts"
import { json } from "./Answer.ts"
import { unknown } from "./Asker.ts"
import { bad } from "./Problem.ts"
import { openToAll } from "./Web.ts"

/** What the deployed hub's history tells, to whoever may view the machine. */
const common: ReadonlyArray<AuditAction> = ["agent-register", "agent-disconnect", "client-connect", "client-disconnect"]

/** An event for a reader: who it was, from where and why for those alone who may know. */
const eventOf = (record: AuditRecord, knows: (id: string | undefined) => boolean): HistoryEvent => {
  const { action, actor, at, from, machine = "", outcome, sequence, target, why } = record
  const { actorNow = actor, targetNow = target } = record
  // Deployed readers know no outcome: what did not happen must not read as if it had.
  const detail = outcome === "ok" ? record.detail : [outcome, ...(record.detail ? [record.detail] : [])].join(": ")
  return {
    machineId: machine,
    event: action,
    timestamp: formatInstant(at),
    ...(detail !== undefined && detail !== "" && { detail }),
    sequence,
    ...(knows(targetNow) && {
      ...(target !== undefined && { target }),
      ...(targetNow !== undefined && targetNow !== target && { targetNow }),
      outcome
    }),
    ...(knows(actorNow) && {
      ...(actor !== undefined && { actor }),
      ...(actorNow !== undefined && actorNow !== actor && { actorNow }),
      ...(from !== undefined && { address: from }),
      outcome,
      ...(why !== undefined && { reason: why })
    })
  }
}

/** The machines on which somebody may read; undefined for any. */
const viewable = (authority: typeof Authority.Service, identity: Identity, asked: string | undefined) => {
  const held = asked === undefined ? machinesOf(authority.snapshot(), identity.id) : [asked]
  const machines = held.filter((machine) => authority.ask({ identity, permission: "view", machine }).permit)
  return machines.includes(ANY_MACHINE) ? undefined : machines
}

/** What somebody who does not see everything finds; of the newest HISTORY_SCANNED events. */
const search = (audit: typeof Audit.Service, query: AuditQuery, id: string, machines?: ReadonlyArray<string>) => {
  // Asking for somebody else's events would tell whose they are.
  const isOfOthers = query.identity !== undefined && query.identity !== id
  if (isOfOthers || machines?.length === 0) return Effect.succeed([])
  const actions = query.identity === undefined ? common : []
  const reader = { identity: id, actions, ...(machines !== undefined && { machines }) }
  return audit.list({ ...query, reader, within: HISTORY_SCANNED })
}

const authRequired: typeof HistoryAuthRequired.Encoded = { error: "auth_required", events: [] }

/** Answers with events; 401 with an empty list for strangers, 400 for a number that is none. */
export const history = (request: HttpServerRequest, asked: typeof HistoryQuery.Type) =>
  Effect.gen(function* () {
    const authority = yield* Authority
    const audit = yield* Audit
    const token = tokenOf(request)
    const identity = authority.identify(token)
    if (identity === undefined) {
      yield* unknown(request, token)
      return json(authRequired, { status: 401, headers: openToAll })
    }
    const { before, limit = HISTORY_DEFAULT } = asked
    if (!Number.isInteger(limit) || limit < 1 || limit > HISTORY_MAX) {
      return yield* bad(`limit must be a whole number from 1 to ${HISTORY_MAX}`)
    }
    if (before !== undefined && (!Number.isSafeInteger(before) || before < 0)) {
      return yield* bad("before must be the sequence of an event")
    }
    const query: AuditQuery = {
      limit,
      ...(before !== undefined && { before }),
      ...(asked.machine !== undefined && { machine: asked.machine }),
      ...(asked.identity !== undefined && { identity: asked.identity })
    }
    const seesAll = authority.ask({ identity, permission: "admin" }).permit
    const records = seesAll
      ? yield* audit.list(query)
      : yield* search(audit, query, identity.id, viewable(authority, identity, asked.machine))
    const events = records.map((record) => eventOf(record, (id) => seesAll || id === identity.id))
    const timestamp = formatInstant(yield* Clock.currentTimeMillis)
    return json<{ readonly events: ReadonlyArray<HistoryEvent>; readonly timestamp: string }>(
      { events, timestamp },
      { headers: openToAll }
    )
  })
