/** The record in memory: for tests, and for hubs that keep nothing. Behaves as the one in SQLite. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AUDIT_EVENTS } from "../protocol/Limits.ts"
import { Audit } from "./Audit.ts"
import type { AuditRecord } from "./Audit.ts"
import * as AuditLog from "./internal/auditLog.ts"
import type { Span } from "./internal/names.ts"

type Kind = "noted" | "recorded"

interface Kept {
  readonly kind: Kind
  readonly record: AuditRecord
}

const isOf = ({ actor, sequence, target }: AuditRecord, spans: ReadonlyArray<Span>): boolean =>
  spans.some(({ after, name, upTo }) => sequence > after && sequence <= upTo && (actor === name || target === name))

const isFor = (record: AuditRecord, { actions, machines, spans }: NonNullable<AuditLog.Search["reader"]>): boolean =>
  record.machine !== undefined &&
  (machines === undefined || machines.includes(record.machine)) &&
  ((record.outcome === "ok" && actions.includes(record.action)) || isOf(record, spans))

/** How far the number of events may exceed what is kept before the oldest go: sorting them out looks at all. */
const SLACK = 1_000

const make = (): AuditLog.AuditLog => {
  let kept: Array<Kept> = []
  const counts = { noted: 0, recorded: 0 }
  let sequence = 0
  let revision = 0

  /** The oldest go first, of changes and of everything else each. */
  const prune = (kind: Kind) => {
    if (counts[kind] < AUDIT_EVENTS + SLACK) return
    let excess = counts[kind] - AUDIT_EVENTS
    counts[kind] = AUDIT_EVENTS
    kept = kept.filter((each) => each.kind !== kind || excess-- <= 0)
  }

  return {
    append: (events, { expired, ...about }) =>
      Effect.sync(() => {
        const kind = about.noted ? "noted" : "recorded"
        for (const event of events) kept.push({ kind, record: { ...event, sequence: ++sequence } })
        counts[kind] += events.length
        revision = about.revision ?? revision
        prune(kind)
        if ((kept[0]?.record.sequence ?? Infinity) <= expired) {
          kept = kept.filter((each) => each.record.sequence > expired)
          for (const each of ["noted", "recorded"] as const) {
            counts[each] = kept.filter((one) => one.kind === each).length
          }
        }
        return kept[0]?.record.sequence ?? Number.MAX_SAFE_INTEGER
      }),
    rename: (former, current) => Effect.sync(() => ({ after: sequence, former, current })),
    renames: Effect.succeed([]),
    remove: () => Effect.void,
    removedSince: () => Effect.succeed([]),
    revision: Effect.sync(() => revision),
    search: ({ before = Infinity, limit, machine, reader, spans, within = Infinity }) =>
      Effect.sync(() =>
        kept
          .map(({ record }) => record)
          .filter((record) => record.sequence < before)
          .slice(-within)
          .filter((record) => machine === undefined || record.machine === machine)
          .filter((record) => spans === undefined || isOf(record, spans))
          .filter((record) => reader === undefined || isFor(record, reader))
          .slice(-limit)
          .toReversed()
      )
  }
}

export const layer: Layer.Layer<Audit> = Layer.scoped(Audit, Effect.orDie(Effect.suspend(() => AuditLog.make(make()))))
