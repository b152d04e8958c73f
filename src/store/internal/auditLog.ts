/**
 * What every Audit does, whatever keeps its events: it stamps them, brings them into order, writes them in
 * batches, samples those denied under flood, and knows what identities were called. Writing never fails its caller.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import {
  AUDIT_BATCH_DELAY,
  AUDIT_QUEUE,
  AUDIT_SAMPLE_WINDOW,
  AUDIT_SEARCH_EVENTS,
  AUDIT_TEXT_CHARACTERS,
  AUDIT_WRITE_EVENTS,
  REMEMBERED_VERSIONS
} from "../../protocol/Limits.ts"
import { turn } from "../../transport/Slices.ts"
import { removedName } from "../Audit.ts"
import type { Audit, AuditEvent, AuditQuery, AuditRecord, Reader } from "../Audit.ts"
import * as Names from "./names.ts"
import * as Sampling from "./sampling.ts"
import type { DatabaseError } from "./sqlite.ts"

/** An event with the instant at which it happened, milliseconds since the epoch. */
export interface StampedEvent extends AuditEvent {
  readonly at: number
}

/** The last version of a removed identity. `number` increases from one that was remembered to the next. */
export interface Removed {
  readonly number: number
  readonly id: string
  readonly version: number
}

/** What keeps the events. Each write is whole or not at all. */
export interface AuditLog {
  /**
   * Appends events. `noted` tells those that come by themselves from those of changes, for how long they are kept. Those up
   * to `expired` go, a batch at a time. Succeeds with a sequence before which there are none; renames that only those
   * needed are not kept any more.
   */
  readonly append: (
    events: ReadonlyArray<StampedEvent>,
    about: { readonly noted: boolean; readonly expired: number; readonly revision?: number | undefined }
  ) => Effect.Effect<number, DatabaseError>
  /** Keeps that an identity has another name in events that are appended from now on. */
  readonly rename: (former: string, current: string) => Effect.Effect<Names.Rename, DatabaseError>
  readonly renames: Effect.Effect<ReadonlyArray<Names.Rename>, DatabaseError>
  /** Keeps the version that an identity had last; the greater one, when there is one already. */
  readonly remove: (id: string, version: number) => Effect.Effect<void, DatabaseError>
  /** What was removed after that number, by whatever program. */
  readonly removedSince: (number: number) => Effect.Effect<ReadonlyArray<Removed>, DatabaseError>
  readonly revision: Effect.Effect<number, DatabaseError>
  /** Events newest first, with what they were called then. */
  readonly search: (search: Search) => Effect.Effect<ReadonlyArray<AuditRecord>, DatabaseError>
}

/** A query in which identities are what they were called, and when; of several spans, any. */
export interface Search extends Omit<AuditQuery, "identity" | "reader"> {
  readonly spans?: ReadonlyArray<Names.Span>
  readonly reader?: Omit<Reader, "identity"> & { readonly spans: ReadonlyArray<Names.Span> }
}

const cut = (text: string): string => text.slice(0, AUDIT_TEXT_CHARACTERS)

/** An event as it is kept: texts come from strangers too, and a record is no place for long ones. */
const stamp = (event: AuditEvent, at: number): StampedEvent => ({
  at,
  action: event.action,
  outcome: event.outcome,
  ...(event.actor !== undefined && { actor: cut(event.actor) }),
  ...(event.target !== undefined && { target: cut(event.target) }),
  ...(event.machine !== undefined && { machine: cut(event.machine) }),
  ...(event.from !== undefined && { from: cut(event.from) }),
  ...(event.why !== undefined && { why: cut(event.why) }),
  ...(event.detail !== undefined && { detail: cut(event.detail) })
})

/** With what its identities are called now. */
const withNamesNow = (record: AuditRecord, names: Names.Names): AuditRecord => {
  const actorNow = record.actor === undefined ? undefined : names.now(record.actor, record.sequence)
  const targetNow = record.target === undefined ? undefined : names.now(record.target, record.sequence)
  return { ...record, ...(actorNow !== undefined && { actorNow }), ...(targetNow !== undefined && { targetNow }) }
}

/** An audit on what keeps events. Everything noted is written when the scope ends. */
export const make = (log: AuditLog): Effect.Effect<typeof Audit.Service, DatabaseError, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    /** Writes come one after the other, in the order in which they were asked for. */
    const turns = yield* Effect.makeSemaphore(1)
    const waiting = yield* Effect.makeLatch()
    const counting = yield* Effect.makeLatch()
    const sampling = Sampling.make()
    const names = Names.make(yield* log.renames)
    const versions = new Map<string, number>()
    let lastRemoved = 0
    let noted: Array<StampedEvent> = []
    /** Events that could not be kept since somebody was told. */
    let lost = 0
    let failing = false

    const lose = (events: number, { message }: DatabaseError): Effect.Effect<void> =>
      Effect.suspend(() => {
        lost += events
        if (failing) return Effect.void
        failing = true
        return Effect.logError(`what happens is not recorded for now: ${message}`)
      })

    const kept = Effect.suspend(() => {
      const count = lost
      lost = 0
      failing = false
      return count === 0 ? Effect.void : Effect.logWarning(`${count} events could not be recorded`)
    })

    /** Writes; what cannot be written is counted, and said once. */
    const write = (events: number, written: Effect.Effect<void, DatabaseError>): Effect.Effect<void> =>
      Effect.matchEffect(written, { onFailure: (error) => lose(events, error), onSuccess: () => kept })

    const append = (
      events: ReadonlyArray<StampedEvent>,
      about: { readonly noted: boolean; readonly revision?: number | undefined }
    ) => Effect.suspend(() => Effect.map(log.append(events, { ...about, expired: names.expired() }), names.forget))

    const writeNoted: Effect.Effect<void> = Effect.gen(function* () {
      const events = noted
      noted = []
      for (let at = 0; at < events.length; at += AUDIT_WRITE_EVENTS) {
        const batch = events.slice(at, at + AUDIT_WRITE_EVENTS)
        yield* write(batch.length, append(batch, { noted: true }))
        yield* turn
      }
    })

    const inTurn = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.uninterruptible(turns.withPermits(1)(Effect.zipRight(writeNoted, effect)))

    const keep = (event: StampedEvent) => {
      if (noted.length >= AUDIT_QUEUE) lost++
      else noted.push(event)
      waiting.unsafeOpen()
    }

    const keepCounted = Effect.sync(() => {
      for (const event of sampling.take()) keep(stamp(event, clock.unsafeCurrentTimeMillis()))
    })

    const remember = (id: string, version: number) => {
      versions.delete(id)
      versions.set(id, version)
      for (const oldest of versions.keys()) {
        if (versions.size <= REMEMBERED_VERSIONS) break
        versions.delete(oldest)
      }
    }

    /** Other programs remove identities too. */
    const learnVersions = Effect.map(
      Effect.suspend(() => log.removedSince(lastRemoved)),
      (removed) => {
        for (const { id, number, version } of removed) {
          lastRemoved = number
          remember(id, version)
        }
      }
    )

    yield* learnVersions
    yield* Effect.addFinalizer(() => Effect.zipRight(keepCounted, inTurn(Effect.void)))
    /** Does something a while after it became due, for as long as the scope lasts. */
    const after = (delay: number, due: Effect.Latch, effect: Effect.Effect<void>) =>
      due.await.pipe(
        Effect.zipRight(Effect.sleep(delay)),
        Effect.zipRight(due.close),
        Effect.zipRight(effect),
        Effect.forever,
        Effect.forkScoped
      )

    yield* after(AUDIT_BATCH_DELAY, waiting, inTurn(Effect.void))
    yield* after(AUDIT_SAMPLE_WINDOW, counting, keepCounted)

    const renamed = (from: string, to: string, version: number) =>
      Effect.suspend(() => {
        remember(from, Math.max(version, versions.get(from) ?? 0))
        const rename = Effect.map(log.rename(from, to), (made) => names.add(made))
        return inTurn(write(0, Effect.zipRight(log.remove(from, version), rename)))
      })

    return {
      record: (events, revision) =>
        Effect.suspend(() => {
          const now = clock.unsafeCurrentTimeMillis()
          const stamped = events.map((event) => stamp(event, now))
          if (stamped.length === 0 && revision === undefined) return inTurn(Effect.void)
          const written = append(stamped, { noted: false, revision })
          return inTurn(write(stamped.length, Effect.zipRight(Effect.zipRight(written, turn), learnVersions)))
        }),
      note: (event) => {
        const now = clock.unsafeCurrentTimeMillis()
        if (event.outcome !== "denied" || sampling.admits(event, now)) keep(stamp(event, now))
        else counting.unsafeOpen()
      },
      renamed,
      removed: (id, version) => renamed(id, removedName(id), version),
      list: ({ identity, reader, ...query }) =>
        Effect.gen(function* () {
          yield* inTurn(Effect.void)
          const records = yield* log.search({
            ...query,
            ...(identity !== undefined && { spans: [identity, removedName(identity)].flatMap(names.spans) }),
            ...(reader !== undefined && { reader: { ...reader, spans: names.spans(reader.identity) } })
          })
          const named: Array<AuditRecord> = []
          for (const [index, record] of records.entries()) {
            if (index > 0 && index % AUDIT_SEARCH_EVENTS === 0) yield* turn
            named.push(withNamesNow(record, names))
          }
          return named
          // What asked fails as a whole, and says why; a record that reads as empty would be a lie.
        }).pipe(Effect.orDie),
      revision: Effect.orDie(log.revision),
      lastVersion: (id) => versions.get(id) ?? 0
    }
  })
