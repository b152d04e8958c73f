/**
 * What happened, newest first (spec: hub-api 1.4, 5). Owners and admins see everything. Others see what agents and clients
 * did on the machines they may view, and who it was only where it was themselves, under whatever name.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Identity } from "../../policy/Identity.ts"
import type { HistoryAuthRequired, HistoryEvent, HistoryQuery } from "../../protocol/AdminApi.ts"
import { formatInstant } from "../../protocol/Duration.ts"
import { HISTORY_DEFAULT, HISTORY_MAX, HISTORY_SCANNED } from "../../protocol/Limits.ts"
import { Audit } from "../../store/Audit.ts"
import type { AuditAction, AuditQuery, AuditRecord } from "../../store/Audit.ts"
import { Authority } from "../Authority.ts"
import { tokenOf } from "../Credentials.ts"
import { json } from "./Answer.ts"
import { bad } from "./Problem.ts"
import { openToAll } from "./Web.ts"

/** What the deployed hub's history tells, to whoever may view the machine. */
const common: ReadonlySet<AuditAction> = new Set([
  "agent-register",
  "agent-disconnect",
  "client-connect",
  "client-disconnect"
])

const isOwn = ({ id }: Identity, { actor, actorNow = actor, target, targetNow = target }: AuditRecord): boolean =>
  actorNow === id || targetNow === id

/** An event for a reader; who, from where and why for those alone who may know. */
const eventOf = (record: AuditRecord, whole: boolean): HistoryEvent => {
  const { action, actor, actorNow, at, from, machine = "", outcome, sequence, target, targetNow, why } = record
  // Deployed readers know no outcome: what did not happen must not read as if it had.
  const detail = outcome === "ok" ? record.detail : [outcome, ...(record.detail ? [record.detail] : [])].join(": ")
  return {
    machineId: machine,
    event: action,
    timestamp: formatInstant(at),
    ...(detail !== undefined && detail !== "" && { detail }),
    sequence,
    ...(whole && {
      ...(actor !== undefined && { actor }),
      ...(actorNow !== undefined && actorNow !== actor && { actorNow }),
      ...(target !== undefined && { target }),
      ...(targetNow !== undefined && targetNow !== target && { targetNow }),
      ...(from !== undefined && { address: from }),
      outcome,
      ...(why !== undefined && { reason: why })
    })
  }
}

/** The newest events that `keep` keeps, up to a limit; of at most HISTORY_SCANNED that are looked at. */
const select = (
  audit: typeof Audit.Service,
  query: AuditQuery,
  keep: (record: AuditRecord) => boolean
): Effect.Effect<ReadonlyArray<AuditRecord>> =>
  Effect.gen(function* () {
    const kept: Array<AuditRecord> = []
    let { before } = query
    for (let scanned = 0; scanned < HISTORY_SCANNED && kept.length < query.limit;) {
      const page = yield* audit.list({ ...query, limit: HISTORY_MAX, ...(before !== undefined && { before }) })
      kept.push(...page.filter(keep))
      const last = page.at(-1)
      if (last === undefined || page.length < HISTORY_MAX) break
      before = last.sequence
      scanned += page.length
    }
    return kept.slice(0, query.limit)
  })

const authRequired: typeof HistoryAuthRequired.Encoded = { error: "auth_required", events: [] }

export const history = (request: HttpServerRequest, asked: typeof HistoryQuery.Type) =>
  Effect.gen(function* () {
    const authority = yield* Authority
    const audit = yield* Audit
    const identity = authority.identify(tokenOf(request))
    if (identity === undefined) return json(authRequired, { status: 401, headers: openToAll })
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
    const own = (record: AuditRecord) => isOwn(identity, record)
    const viewed = new Map<string, boolean>()
    const mayView = (machine: string): boolean => {
      const known = viewed.get(machine)
      if (known !== undefined) return known
      const { permit } = authority.ask({ identity, permission: "view", machine })
      viewed.set(machine, permit)
      return permit
    }
    // Asking for somebody else's events would tell whose they are.
    const mayRead = (record: AuditRecord): boolean =>
      record.machine !== undefined &&
      mayView(record.machine) &&
      (own(record) || (asked.identity === undefined && record.outcome === "ok" && common.has(record.action)))
    const records = seesAll ? yield* audit.list(query) : yield* select(audit, query, mayRead)
    const events = records.map((record) => eventOf(record, seesAll || own(record)))
    const timestamp = formatInstant(yield* Clock.currentTimeMillis)
    return json<{ readonly events: ReadonlyArray<HistoryEvent>; readonly timestamp: string }>(
      { events, timestamp },
      { headers: openToAll }
    )
  })
