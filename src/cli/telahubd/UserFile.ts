/**
 * What the commands of `telahubd user` have in common: they change the hub's file as the hub itself does, under the same
 * rules and the same lock, and record it beside the file. A running hub takes it in by itself.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { apply, type Applied, type Change, type ChangeRefused } from "../../policy/Change.ts"
import type { Snapshot } from "../../policy/Identity.ts"
import * as Quote from "../../protocol/Quote.ts"
import { Audit, type AuditEvent } from "../../store/Audit.ts"
import * as AuditMemory from "../../store/AuditMemory.ts"
import * as HubIdentities from "../../store/HubIdentities.ts"
import * as HubStorage from "../../store/HubStorage.ts"
import { eventsOf } from "../../store/IdentityStore.ts"
import type { IdentityStore, TakenIn } from "../../store/IdentityStore.ts"
import type { Given } from "../Command.ts"
import { Failed, type Failure } from "../Failure.ts"
import { note, type Shell } from "../Shell.ts"
import * as HubFlags from "./HubFlags.ts"
import { force } from "./UserWords.ts"

/** A hub's file, open for changes. */
export interface UserFile {
  readonly path: string
  readonly snapshot: () => Snapshot
  /**
   * Makes changes that follow from what the file has at that moment, all or none, and records the first of them. Fails
   * with a sentence when the rules forbid one.
   */
  readonly change: (
    event: Pick<AuditEvent, "action" | "machine" | "detail">,
    changes: (snapshot: Snapshot, now: number) => readonly [Change, ...ReadonlyArray<Change>]
  ) => Effect.Effect<Applied, Failure, Shell>
}

/** The file that the command line means. */
const fileOf = (given: Given) =>
  Effect.gen(function* () {
    const { exists, path } = yield* HubFlags.locate(given)
    if (exists) return path
    const create = `telahubd user bootstrap ${Quote.flag("config", path)}`
    return yield* new Failed({
      message: `${path}: no such file; put it back if there was one, or, to create it, run: ${create}`
    })
  })

/** Identities and grants as they are, without changing anything. */
export const look = (given: Given): Effect.Effect<Snapshot, Failure, Shell> =>
  Effect.gen(function* () {
    const identities = yield* HubIdentities.make(yield* fileOf(given), { ownerless: "taken" })
    return identities.current()
  }).pipe(Effect.scoped)

/** The record beside a file. Nobody is let in or kept out by it, so that without it a note has to do. */
const recordBeside = (path: string): Effect.Effect<typeof Audit.Service, never, Scope.Scope | Shell> =>
  Layer.build(HubStorage.layerRecord(path)).pipe(
    Effect.catchAll(({ message }) => Effect.zipRight(note(`Not recorded: ${message}`), Layer.build(AuditMemory.layer))),
    Effect.map((context) => Context.get(context, Audit))
  )

/** The changes one after the other; the names are those of all of them. */
const applyAll = (
  base: Snapshot,
  changes: readonly [Change, ...ReadonlyArray<Change>],
  context: { readonly now: number; readonly lastVersion: (id: string) => number }
): Either.Either<Applied, ChangeRefused> => {
  const [first, ...rest] = changes
  return rest.reduce(
    (before, change) =>
      Either.flatMap(before, (applied) =>
        Either.map(apply(applied.snapshot, change, { by: "owner", ...context }), (next) => ({
          ...next,
          replaced: applied.replaced,
          identities: [...applied.identities, ...next.identities],
          machines: [...applied.machines, ...next.machines]
        }))
      ),
    apply(base, first, { by: "owner", ...context })
  )
}

const changeWith =
  (identities: typeof IdentityStore.Service, audit: typeof Audit.Service): UserFile["change"] =>
  (event, changes) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      let outside: TakenIn["changes"] = []
      const outcome = yield* identities.update(
        (taken) => {
          outside = taken.changes
        },
        (base) => {
          const result = applyAll(base, changes(base, now), { now, lastVersion: audit.lastVersion })
          const {
            identities: ids,
            machines,
            snapshot
          } = Either.getOrElse(result, () => ({
            identities: [],
            machines: [],
            snapshot: base
          }))
          return { snapshot, identities: new Set(ids), machines: new Set(machines), renamed: new Map(), result }
        }
      )
      for (const { text } of outside) yield* note(text)
      const { revision } = identities.current()
      if (Either.isLeft(outcome)) {
        yield* audit.record(eventsOf(outside), revision)
        return yield* new Failed({ message: `${outcome.left.message}; nothing was changed` })
      }
      const { id, version } = outcome.right.identity
      yield* audit.record([...eventsOf(outside), { ...event, target: id, from: "local", outcome: "ok" }], revision)
      if (event.action === "access-remove") yield* audit.removed(id, version)
      return outcome.right
    })

/**
 * Opens the file that the command line means, and the record beside it. One without a valid owner is opened too, since this
 * is how it gets one; one that is older than the record, and so may hold what was taken away, only by force.
 */
export const open = (given: Given): Effect.Effect<UserFile, Failure, Scope.Scope | Shell> =>
  Effect.gen(function* () {
    const path = yield* fileOf(given)
    const older = (yield* given.flag(force)) ? "taken" : "refused"
    const audit = yield* recordBeside(path)
    const recorded = HubIdentities.recordedIn(audit)
    const identities = yield* HubIdentities.make(path, { ownerless: "taken", older, recorded })
    return { path, snapshot: identities.current, change: changeWith(identities, audit) }
  })
