/** The record in SQLite. */
import type { Constructor } from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { AUDIT_EVENTS, AUDIT_SEARCH_EVENTS, AUDIT_WRITE_EVENTS, REMEMBERED_VERSIONS } from "../protocol/Limits.ts"
import { turn } from "../transport/Slices.ts"
import { Audit, auditActions } from "./Audit.ts"
import type { AuditRecord } from "./Audit.ts"
import { Database, type DatabaseError, type Run } from "./Database.ts"
import * as AuditLog from "./internal/auditLog.ts"
import type { Rename, Span } from "./internal/names.ts"

const optional = Schema.optionalWith(Schema.String, { exact: true, nullable: true })

/** Columns that hold nothing are absent in the record. */
const Row = Schema.Struct({
  sequence: Schema.Number,
  at: Schema.Number,
  action: Schema.Literal(...auditActions),
  outcome: Schema.Literal("ok", "denied", "failed"),
  actor: optional,
  target: optional,
  machine: optional,
  from: optional,
  why: optional,
  detail: optional
})

const decodeRow = Schema.decodeUnknownOption(Row)

/** Events in which one identity has a part. */
const ofIdentity = (sql: Constructor, spans: ReadonlyArray<Span>) =>
  sql.or(
    spans.map(
      ({ after, name, upTo }) =>
        sql`(actor = ${name} OR target = ${name}) AND sequence > ${after} AND sequence <= ${upTo}`
    )
  )

/** However many they are, one parameter. */
const among = (sql: Constructor, texts: ReadonlyArray<string>) =>
  sql`IN (SELECT value FROM json_each(${JSON.stringify(texts)}))`

/** Which of the events to take. */
const condition = (sql: Constructor, { machine, reader, spans }: AuditLog.Search) =>
  sql.and([
    ...(machine === undefined ? [] : [sql`machine = ${machine}`]),
    ...(spans === undefined ? [] : [ofIdentity(sql, spans)]),
    ...(reader === undefined
      ? []
      : [
          reader.machines === undefined ? sql`machine IS NOT NULL` : sql`machine ${among(sql, reader.machines)}`,
          sql.or([sql`outcome = 'ok' AND action ${among(sql, reader.actions)}`, ofIdentity(sql, reader.spans)])
        ])
  ])

/** The sequence of the first event, when there is none. */
const NONE = Number.MAX_SAFE_INTEGER

const make: Effect.Effect<AuditLog.AuditLog, DatabaseError, Database> = Effect.gen(function* () {
  const { read, sql, write } = yield* Database

  const counts = yield* read(
    sql<{
      readonly noted: number
      readonly events: number
    }>`SELECT noted, count(*) AS events FROM events GROUP BY noted`
  )
  const countOf = (noted: number) => counts.find((each) => each.noted === noted)?.events ?? 0
  const kept = { noted: countOf(1), recorded: countOf(0) }

  const first = sql<{ readonly least: number | null }>`SELECT min(sequence) AS least FROM events`
  /** A sequence before which there are no events. */
  const leastOf = ([found]: ReadonlyArray<{ readonly least: number | null }>) => found?.least ?? NONE

  let oldest = leastOf(yield* read(first))

  /** Removes renames that no event needs, as many as given. */
  const prune = (before: number, most: number) =>
    sql`DELETE FROM renames WHERE number IN
      (SELECT number FROM (SELECT number, after FROM renames ORDER BY number LIMIT ${most}) WHERE after < ${before})`

  /** Appends events, and removes the `excess` oldest of their kind and, of those up to `expired`, as many as `batch` says. */
  const statements = Effect.fnUntraced(function* (
    run: Run,
    events: ReadonlyArray<AuditLog.StampedEvent>,
    flag: number,
    revision: number | undefined,
    expired: number,
    excess: number,
    batch: number
  ) {
    if (events.length > 0) {
      yield* run(
        sql`INSERT INTO events (at, action, actor, target, machine, origin, outcome, why, detail, noted)
          SELECT value->>'at', value->>'action', value->>'actor', value->>'target', value->>'machine',
            value->>'from', value->>'outcome', value->>'why', value->>'detail', ${flag}
          FROM json_each(${JSON.stringify(events)})`
      )
    }
    if (revision !== undefined) yield* run(sql`UPDATE recorded SET revision = ${revision}`)
    if (excess > 0) {
      yield* run(
        sql`DELETE FROM events WHERE sequence IN
          (SELECT sequence FROM events WHERE noted = ${flag} ORDER BY sequence LIMIT ${excess})`
      )
    }
    const gone =
      expired < oldest
        ? []
        : yield* run(
            sql<{ readonly noted: number }>`DELETE FROM events WHERE sequence IN
              (SELECT sequence FROM events WHERE sequence <= ${expired} ORDER BY sequence LIMIT ${batch})
              RETURNING noted`
          )
    if (oldest !== NONE && excess === 0 && gone.length === 0) return { gone, least: oldest }
    const least = leastOf(yield* run(first))
    yield* run(prune(least, 2 * batch))
    return { gone, least }
  })

  /** Appends, and removes as many of the oldest as keeps the number, a batch at a time. */
  const append: AuditLog.AuditLog["append"] = (events, { expired, noted, revision }) =>
    Effect.suspend(() => {
      const kind = noted ? "noted" : "recorded"
      const flag = noted ? 1 : 0
      const batch = Math.max(events.length, 2 * AUDIT_WRITE_EVENTS)
      const excess = Math.max(0, Math.min(kept[kind] - AUDIT_EVENTS, batch))
      return Effect.map(
        write((run) => statements(run, events, flag, revision, expired, excess, batch)),
        ({ gone, least }) => {
          kept[kind] += events.length - excess
          for (const each of gone) kept[each.noted === 1 ? "noted" : "recorded"] -= 1
          oldest = least
          return least
        }
      )
    })

  const search: AuditLog.AuditLog["search"] = (asked) =>
    Effect.gen(function* () {
      const { before = Number.MAX_SAFE_INTEGER, limit, within = Infinity } = asked
      const found: Array<AuditRecord> = []
      let upper = before
      for (let looked = 0; looked < within && found.length < limit; looked += AUDIT_SEARCH_EVENTS) {
        const next = Math.min(AUDIT_SEARCH_EVENTS, within - looked)
        const [part] = yield* read(
          sql<{ readonly least: number | null }>`SELECT min(sequence) AS least FROM
            (SELECT sequence FROM events WHERE sequence < ${upper} ORDER BY sequence DESC LIMIT ${next})`
        )
        const least = part?.least ?? null
        if (least === null) break
        const rows = yield* read(
          sql`SELECT sequence, at, action, outcome, actor, target, machine, origin AS "from", why, detail FROM events
            WHERE sequence >= ${least} AND sequence < ${upper} AND ${condition(sql, asked)}
            ORDER BY sequence DESC LIMIT ${limit - found.length}`
        )
        // An action that only a newer hub knows is left out.
        for (const row of rows) found.push(...Option.toArray(decodeRow(row)))
        upper = least
        yield* turn
      }
      return found
    })

  return {
    append,
    search,
    rename: (former, current) =>
      write((run) =>
        run(
          sql<Rename>`INSERT INTO renames (after, former, current)
            SELECT coalesce(max(sequence), 0), ${former}, ${current} FROM events
            RETURNING after, former, current`
        )
      ).pipe(Effect.map(([rename]) => rename ?? { after: 0, former, current })),
    renames: Effect.flatMap(read(first), (found) =>
      Effect.zipRight(
        // Hubs before this one kept all. What cannot be removed now is only read in vain.
        Effect.ignore(write((run) => run(prune(leastOf(found), Number.MAX_SAFE_INTEGER)))),
        read(sql<Rename>`SELECT after, former, current FROM renames ORDER BY number`)
      )
    ),
    remove: (id, version) =>
      write((run) =>
        Effect.zipRight(
          run(
            sql`INSERT OR REPLACE INTO removed (id, version)
              SELECT ${id}, max(${version}, coalesce((SELECT version FROM removed WHERE id = ${id}), 0))`
          ),
          run(sql`DELETE FROM removed WHERE number <= (SELECT max(number) FROM removed) - ${REMEMBERED_VERSIONS}`)
        )
      ),
    removedSince: (number) =>
      read(sql<AuditLog.Removed>`SELECT number, id, version FROM removed WHERE number > ${number} ORDER BY number`),
    revision: Effect.map(
      read(sql<{ readonly revision: number }>`SELECT revision FROM recorded`),
      ([recorded]) => recorded?.revision ?? 0
    )
  }
})

/** The record of what happened, in a database. */
export const layer: Layer.Layer<Audit, DatabaseError, Database> = Layer.scoped(
  Audit,
  Effect.flatMap(make, AuditLog.make)
)
