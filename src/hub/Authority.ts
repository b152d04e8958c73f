/**
 * Who is who, and who may what, at this moment: the current snapshot, asked through the one policy; and the one place
 * where identities and grants change. Asking is a plain call, since every message of every connection may ask. Changing
 * goes through the mailbox of one fiber: in the file first, then in the record, then in force, then answered.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { hashOf } from "../crypto/Token.ts"
import { apply, ChangeRefused } from "../policy/Change.ts"
import type { Applied, Change } from "../policy/Change.ts"
import { identify, identityOf } from "../policy/Identity.ts"
import type { Identity, Snapshot } from "../policy/Identity.ts"
import { decide } from "../policy/Policy.ts"
import type { Decision, Question } from "../policy/Policy.ts"
import { HUB_FILE_POLL, PENDING_CHANGES } from "../protocol/Limits.ts"
import { Audit } from "../store/Audit.ts"
import type { AuditEvent } from "../store/Audit.ts"
import { turn } from "../transport/Slices.ts"
import type { HubLimits } from "../store/HubLimits.ts"
import { eventsOf, IdentityStore, StoreFailure } from "../store/IdentityStore.ts"
import type { Edited, TakenIn } from "../store/IdentityStore.ts"

/** Who asks for a change. */
export interface Caller {
  /** Whose token it came with; asked again when its turn comes, so that one that is revoked meanwhile changes nothing. */
  readonly identity: Identity
  /** Network address. */
  readonly from: string
}

/** A change, and what is to be recorded of it. */
export interface ChangeRequest {
  readonly change: Change
  /** A pairing code is redeemed in the name of whoever made it: it can do what they may do now, and no more. */
  readonly by: Caller
  /** The version that the caller had seen, from If-Match. */
  readonly ifVersion?: number | undefined
  /** The event when it is made; when refused for lack of rights it is recorded as denied. */
  readonly event: Pick<AuditEvent, "action" | "machine" | "detail" | "actor" | "from">
}

/** Told, in the turn in which a snapshot comes into force, with which tokens something may have been begun that is to be asked again. */
export type OnChange = (snapshot: Snapshot, tokens: ReadonlySet<string> | "all") => void

export class Authority extends Context.Tag("tela/hub/Authority")<
  Authority,
  {
    /** The valid identity that holds a token; undefined for no token, an unknown, a revoked or an expired one. */
    readonly identify: (token: Redacted.Redacted | undefined) => Identity | undefined
    /** Decides on the current snapshot, now. */
    readonly ask: (question: Omit<Question, "now">) => Decision
    /** The current snapshot. */
    readonly snapshot: () => Snapshot
    /** How much the hub bears of each identity, and in all, at this moment. */
    readonly limits: () => HubLimits
    /** Makes a change; it is on disk, recorded and in force when this succeeds. Waits in PENDING_CHANGES. */
    readonly change: (request: ChangeRequest) => Effect.Effect<Applied, ChangeRefused | StoreFailure>
    /** Calls `listener` at each change from now on, for as long as the hub runs. `all`: what others did to the file. */
    readonly onChange: (listener: OnChange) => void
  }
>() {}

/** A request in the mailbox, and where its answer goes. */
interface Pending {
  readonly request: ChangeRequest
  readonly answer: Deferred.Deferred<Applied, ChangeRefused | StoreFailure>
}

/** What became of one request of a batch, in the turn in which all of them were applied. */
type Outcome = Either.Either<Applied, ChangeRefused>

interface Batch {
  readonly before: Snapshot
  readonly outcomes: ReadonlyArray<Outcome>
}

const busy = new StoreFailure({
  kind: "busy",
  message: `${PENDING_CHANGES} changes wait to be stored already; try again in a moment`
})

/** Applies the requests one after the other; those that are refused change nothing. */
const applyAll = (
  base: Snapshot,
  pending: ReadonlyArray<Pending>,
  context: { readonly now: number; readonly lastVersion: (id: string) => number }
): Edited<Batch> => {
  const identities = new Set<string>()
  const machines = new Set<string>()
  const renamed = new Map<string, string>()
  const outcomes: Array<Outcome> = []
  /** Versions of names that were given up in this round. */
  const former = new Map<string, number>()
  const lastVersion = (id: string) => Math.max(former.get(id) ?? 0, context.lastVersion(id))
  let snapshot = base
  for (const { request } of pending) {
    const { by, change, ifVersion } = request
    const { now } = context
    const asker = identify(snapshot, by.identity.tokenHash, now)
    const mayAsk = decide(snapshot, { identity: by.identity, permission: "admin", now }).permit
    const outcome: Outcome =
      asker !== undefined && mayAsk
        ? apply(snapshot, change, {
            by: asker.role,
            now,
            ...(asker.expiresAt !== undefined && { until: asker.expiresAt }),
            lastVersion,
            ...(ifVersion !== undefined && { ifVersion })
          })
        : Either.left(
            new ChangeRefused({ kind: "not-allowed", message: "your token may not administer this hub any more" })
          )
    outcomes.push(outcome)
    if (Either.isLeft(outcome)) continue
    const applied = outcome.right
    snapshot = applied.snapshot
    for (const id of applied.identities) identities.add(id)
    for (const machine of applied.machines) machines.add(machine)
    if (applied.identity.id !== change.id) renamed.set(applied.identity.id, change.id)
    if (identityOf(snapshot, change.id) === undefined) former.set(change.id, applied.identity.version)
  }
  return { snapshot, identities, machines, renamed, result: { before: base, outcomes } }
}

/** What is recorded of a request. A refusal is worth it only when somebody tried what they may not. */
const eventOf = ({ by, change, event }: ChangeRequest, outcome: Outcome): AuditEvent | undefined => {
  const who = { actor: by.identity.id, from: by.from }
  if (Either.isRight(outcome)) return { ...who, ...event, target: change.id, outcome: "ok" }
  const { kind, message } = outcome.left
  if (kind !== "owner-only" && kind !== "not-allowed" && kind !== "last-owner") return undefined
  return { ...who, ...event, target: change.id, outcome: "denied", why: message }
}

/** The authority of a hub, on what is stored. Lives as long as the scope. */
export const make: Effect.Effect<typeof Authority.Service, never, IdentityStore | Audit | Scope.Scope> = Effect.gen(
  function* () {
    const store = yield* IdentityStore
    const audit = yield* Audit
    const clock = yield* Effect.clock
    /** Rounds and the taking in of what others wrote come one after the other, so that no older state follows a newer one. */
    const turns = yield* Effect.makeSemaphore(1)
    const inbox = yield* Mailbox.make<Pending>({ capacity: PENDING_CHANGES, strategy: "dropping" })
    const listeners: Array<OnChange> = []
    let current = store.current()

    /** A snapshot comes into force; everybody who must know is told in the same turn, whatever becomes of the others. */
    const publish = (snapshot: Snapshot, tokens: ReadonlySet<string> | "all"): Effect.Effect<void> =>
      Effect.suspend(() => {
        const defects: Array<unknown> = []
        current = snapshot
        for (const listener of listeners) {
          try {
            listener(snapshot, tokens)
          } catch (defect) {
            defects.push(defect)
          }
        }
        return Effect.forEach(defects, (defect) => Effect.logError("a change of access was not followed", defect), {
          discard: true
        })
      })

    /** What is stored comes into force whatever becomes of its record. */
    const whatever = (recording: Effect.Effect<void>) =>
      Effect.catchAllDefect(recording, (defect) => Effect.logError("recording a change failed", defect))

    const takeIn = Effect.fnUntraced(function* ({ changes, snapshot }: TakenIn) {
      if (snapshot.revision === current.revision && changes.length === 0) return
      for (const { how, text } of changes) yield* how === "tool" ? Effect.logInfo(text) : Effect.logWarning(text)
      // A tool of ours has recorded what it did.
      const gone = changes.flatMap(({ how, id }) =>
        id !== undefined && how !== "tool" && identityOf(snapshot, id) === undefined ? [identityOf(current, id)] : []
      )
      yield* whatever(
        Effect.gen(function* () {
          yield* audit.record(eventsOf(changes), snapshot.revision)
          for (const identity of gone) if (identity !== undefined) yield* audit.removed(identity.id, identity.version)
        })
      )
      yield* publish(snapshot, "all")
    })

    /** In the order of the requests: what came before a rename is recorded under the former name. */
    const record = Effect.fnUntraced(function* (
      pending: ReadonlyArray<Pending>,
      { outcomes }: Batch,
      revision: number
    ) {
      let events: Array<AuditEvent> = []
      for (const [index, { request }] of pending.entries()) {
        const outcome = outcomes[index]
        if (outcome === undefined) continue
        const event = eventOf(request, outcome)
        if (event !== undefined) events.push(event)
        if (Either.isLeft(outcome)) continue
        const { id } = request.change
        const { identity } = outcome.right
        const isRemoved = request.change._tag === "Remove"
        if (!isRemoved && identity.id === id) continue
        yield* audit.record(events)
        events = []
        yield* isRemoved ? audit.removed(id, identity.version) : audit.renamed(id, identity.id, identity.version)
      }
      if (events.length > 0 || outcomes.some(Either.isRight)) yield* audit.record(events, revision)
    })

    /** One round: in the file, in the record, in force, answered; what is relayed gets its turn in between. */
    const round = Effect.fnUntraced(
      function* (pending: ReadonlyArray<Pending>) {
        yield* turn
        let outside: TakenIn | undefined
        let made: Snapshot | undefined
        const stored = yield* Effect.either(
          store.update(
            (taken) => {
              outside = taken
            },
            (base) => {
              const edited = applyAll(base, pending, {
                now: clock.unsafeCurrentTimeMillis(),
                // Somebody who went by an edit of this very moment is not in the record yet.
                lastVersion: (id) => Math.max(audit.lastVersion(id), identityOf(current, id)?.version ?? 0)
              })
              made = edited.snapshot
              return edited
            }
          )
        )
        if (outside !== undefined) yield* takeIn(outside)
        if (Either.isLeft(stored)) {
          for (const { answer } of pending) yield* Deferred.fail(answer, stored.left)
          return
        }
        const batch = stored.right
        const snapshot = made ?? batch.before
        yield* turn
        yield* whatever(record(pending, batch, snapshot.revision))
        yield* turn
        const tokens = new Set(
          batch.outcomes.flatMap((outcome) => (Either.isRight(outcome) ? outcome.right.tokens : []))
        )
        if (snapshot !== batch.before) yield* publish(snapshot, tokens)
        for (const [index, { answer }] of pending.entries()) {
          const outcome = batch.outcomes[index]
          if (outcome !== undefined) yield* Deferred.complete(answer, outcome)
        }
      },
      // A bug of ours must not leave a caller waiting for ever, nor end the only fiber that can take access away.
      (done, pending) =>
        Effect.catchAllDefect(done, (defect) =>
          Effect.zipRight(
            Effect.logError("a change of identities failed", defect),
            Effect.forEach(pending, ({ answer }) => Deferred.die(answer, defect), { discard: true })
          )
        )
    )

    yield* Effect.gen(function* () {
      const [pending] = yield* inbox.takeAll
      // What is in the file is recorded and in force, too, before a hub ends.
      yield* turns.withPermits(1)(Effect.uninterruptible(round([...pending])))
    }).pipe(Effect.forever, Effect.interruptible, Effect.forkScoped)

    const look = looking(turns.withPermits(1)(Effect.flatMap(store.refresh, takeIn)))
    yield* look
    const { revision } = store.current()
    if ((yield* audit.revision) !== revision) yield* audit.record([], revision)
    yield* look.pipe(Effect.delay(HUB_FILE_POLL), Effect.forever, Effect.interruptible, Effect.forkScoped)

    return {
      identify: (token) =>
        token === undefined || Redacted.value(token) === ""
          ? undefined
          : identify(current, hashOf(token), clock.unsafeCurrentTimeMillis()),
      ask: (question) => decide(current, { ...question, now: clock.unsafeCurrentTimeMillis() }),
      snapshot: () => current,
      limits: store.limits,
      change: Effect.fnUntraced(function* (request: ChangeRequest) {
        const answer = yield* Deferred.make<Applied, ChangeRefused | StoreFailure>()
        if (!(yield* inbox.offer({ request, answer }))) return yield* busy
        return yield* Deferred.await(answer)
      }),
      onChange: (listener) => void listeners.push(listener)
    }
  }
)

/** Takes in what others write to the file. What cannot be understood is said once, and the hub goes on as it was. */
const looking = (refresh: Effect.Effect<void, StoreFailure>): Effect.Effect<void> => {
  let said = ""
  return refresh.pipe(
    Effect.tap(() => Effect.sync(() => (said = ""))),
    Effect.catchAll(({ message }) => {
      if (said === message) return Effect.void
      said = message
      return Effect.logError(`identities and grants stay as they were: ${message}`)
    }),
    Effect.catchAllDefect((defect) => Effect.logError("looking at the hub's file failed", defect))
  )
}

export const layer: Layer.Layer<Authority, never, IdentityStore | Audit> = Layer.scoped(Authority, make)
