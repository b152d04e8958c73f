/**
 * Identities and grants in telahubd.yaml: the file is the authority's memory, and people and `telahubd user` may write it
 * at any time. Every change is stat, merge, write, rename, under a lock that all our programs take.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { following } from "../policy/Change.ts"
import type { Snapshot } from "../policy/Identity.ts"
import { HUB_FILE_BYTES, KEPT_REVISIONS } from "../protocol/Limits.ts"
import { turn } from "../transport/Slices.ts"
import { Audit } from "./Audit.ts"
import * as AuthText from "./AuthText.ts"
import * as HubCheck from "./HubCheck.ts"
import type { HubFile } from "./HubFile.ts"
import * as HubState from "./HubState.ts"
import { IdentityStore, StoreFailure } from "./IdentityStore.ts"
import type { Edited, OutsideChange, TakenIn } from "./IdentityStore.ts"
import * as Exclusive from "./internal/exclusive.ts"
import * as Files from "./internal/files.ts"

const isFull = (code: string) => code === "ENOSPC" || code === "EDQUOT" || code === "SQLITE_FULL"

const lockFailure = (path: string, { code, problem }: Files.FileProblem): StoreFailure => {
  if (code === "EBUSY") return new StoreFailure({ kind: "busy", message: `${path}: ${problem}` })
  if (code === "addon") return new StoreFailure({ kind: "unwritable", message: problem })
  const advice = isFull(code) ? "; make room there" : "; the hub must be able to write this file and its folder"
  return new StoreFailure({ kind: isFull(code) ? "full" : "unwritable", message: `${path}: ${problem}${advice}` })
}

const writeFailure = (path: string, { code, problem }: Files.FileProblem): StoreFailure => {
  if (isFull(code)) return new StoreFailure({ kind: "full", message: `${path}: ${problem}; make room there` })
  const advice = ["EBUSY", "EROFS", "EXDEV"].includes(code)
    ? "it cannot be replaced; mount the directory, not the file, and let the hub write there"
    : `${problem}; the hub must be able to write this file and its folder`
  return new StoreFailure({ kind: "unwritable", message: `${path}: ${advice}` })
}

/** Tries to write while others keep writing too; people are slower than that. */
const REPLACE_TRIES = 5

/** Lines that are given a version before others get a turn. */
const TURN_LINES = 128

/** The text with a version in every line, in turns with others: once in the life of a file, it is all of them. */
const withVersions = Effect.fnUntraced(function* ({ bare, snapshot, text }: HubState.HubState) {
  let made = text
  for (let at = 0; at < bare.length; at += TURN_LINES) {
    const bodies = AuthText.bodiesOf(snapshot, { identities: bare.slice(at, at + TURN_LINES), machines: [] })
    made = AuthText.change(made, { revision: text.revision, ...bodies })
    yield* turn
  }
  return made
})

/** The store of a file that was loaded. */
export const makeFrom = (
  path: string,
  first: HubState.Taken,
  options: HubState.Options
): Effect.Effect<typeof IdentityStore.Service, StoreFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const turns = yield* Effect.makeSemaphore(1)
    const exclusively = yield* Exclusive.make
    const kept = new Map<number, Snapshot>()
    let state = first.state
    let isChecked = false
    /** What others did, and nobody was told yet. */
    let untold: ReadonlyArray<OutsideChange> = first.changes
    let told = state.snapshot
    /** A state that could not be written: only a change, or another edit, is a reason to try again. */
    let refused: HubState.HubState | undefined

    const keep = (revision: number, snapshot: Snapshot) => {
      kept.delete(revision)
      kept.set(revision, snapshot)
      for (const oldest of kept.keys()) {
        if (kept.size <= KEPT_REVISIONS) break
        kept.delete(oldest)
      }
    }
    keep(state.snapshot.revision, state.snapshot)

    const put = (next: HubState.HubState) => {
      state = next
      if (!next.isAhead) keep(next.snapshot.revision, next.snapshot)
    }

    const snapshotAt = (revision: number) => kept.get(revision)

    /** Merges what others wrote since into a state, which need not be in force yet. */
    const merged = (from: HubState.HubState) =>
      Effect.map(HubState.takeIn(path, { state: from, snapshotAt }, options), (taken) => {
        if (taken !== undefined) untold = [...untold, ...taken.changes]
        return taken?.state
      })

    const write = Effect.fnUntraced(function* (
      made: HubState.HubState,
      triesLeft = REPLACE_TRIES
    ): Effect.fn.Return<void, StoreFailure> {
      const next = { ...made, text: yield* withVersions(made), bare: [] }
      if (next.converted && !(yield* HubState.isFaithful(path, next))) {
        return yield* new StoreFailure({
          kind: "unreadable",
          message: `${path}: it is written in a way that cannot be kept; write every key of it, and of auth:, in lines of its own`
        })
      }
      if (next.deployed !== undefined) {
        yield* Files.createOnce(`${next.seen.target}.deployed`, next.deployed).pipe(
          Effect.catchIf(
            ({ code }) => code === "EEXIST",
            () => Effect.void
          ),
          Effect.mapError((problem) => writeFailure(path, problem))
        )
      }
      // What was decided, and the making of the text, took a turn already.
      yield* turn
      yield* AuthText.encoded(next.text)
      const pieces = AuthText.pieces(next.text)
      if (pieces.reduce((sum, piece) => sum + piece.length, 0) > HUB_FILE_BYTES) {
        return yield* new StoreFailure({
          kind: "full",
          message: `${path}: it would be larger than ${HUB_FILE_BYTES} bytes, the most that is read; remove identities or grants`
        })
      }
      const seen = yield* Effect.either(Files.replaceSeen(next.seen, pieces))
      if (seen._tag === "Right") {
        put({ ...next, seen: seen.right, isAhead: false, deployed: undefined, converted: false })
        return
      }
      if (seen.left.code !== "ECHANGED" || triesLeft === 0) return yield* writeFailure(path, seen.left)
      // Somebody wrote it in these milliseconds. What is being made counts as acknowledged already.
      keep(next.snapshot.revision, next.snapshot)
      yield* write((yield* merged(next)) ?? next, triesLeft - 1)
    })

    const tell = (): TakenIn => {
      const changes = untold
      untold = []
      told = state.snapshot
      return { snapshot: state.snapshot, changes }
    }

    const takeIn = Effect.gen(function* () {
      // Asked before the file is looked at, for whoever writes it records that afterwards.
      const recorded = yield* options.recorded?.revision ?? Effect.succeed(0)
      const next = yield* merged(state)
      if (next !== undefined) put(next)
      const { revision } = state.snapshot
      if (isChecked && revision >= recorded) return
      const found = yield* HubCheck.check(path, { state, changes: untold }, recorded, options)
      if (!isChecked && recorded !== 0 && revision > recorded) {
        const text = `revision ${revision} stands in the file, ${recorded} is the last that was recorded`
        untold = [...untold, { how: "unrecorded", text }]
      }
      isChecked = true
      if (found === undefined) return
      untold = [...untold, ...found.changes]
      put(found.state)
    })

    /** Goes on with a merge that cannot be written: the file is taken as it is, at its own revision. */
    const giveUp = () => {
      keep(state.snapshot.revision, state.snapshot)
      refused = state
    }

    /** Writes what a merge made of the file. */
    const writeBack = Effect.suspend(() => {
      const next = { revision: following(state.snapshot.revision) }
      return write({ ...state, snapshot: { ...state.snapshot, ...next }, text: { ...state.text, ...next } })
    }).pipe(
      Effect.uninterruptible,
      Effect.catchAll(({ message }) => {
        giveUp()
        return Effect.logWarning(`what was edited is in force, but not written back: ${message}`)
      })
    )

    const locked = <A>(use: Effect.Effect<A, StoreFailure>): Effect.Effect<A, StoreFailure> =>
      Effect.catchTag(exclusively(state.seen.target, use), "FileProblem", (problem) => lockFailure(path, problem))

    const edited = Effect.fnUntraced(function* <A>(
      takenIn: (taken: TakenIn) => void,
      edit: (base: Snapshot) => Edited<A>
    ): Effect.fn.Return<A, StoreFailure> {
      yield* takeIn
      if (untold.length > 0 || told !== state.snapshot) takenIn(tell())
      const { identities, machines, renamed, result, snapshot } = edit(state.snapshot)
      if (identities.size === 0 && machines.size === 0) return result
      const text = AuthText.change(state.text, {
        revision: snapshot.revision,
        renamed,
        ...AuthText.bodiesOf(snapshot, { identities, machines })
      })
      yield* Effect.uninterruptible(write({ ...state, snapshot, text }))
      told = snapshot
      return result
    })

    yield* takeIn
    told = state.snapshot
    return {
      current: () => state.snapshot,
      limits: () => state.settings.limits,
      update: (takenIn, edit) => turns.withPermits(1)(Effect.suspend(() => locked(edited(takenIn, edit)))),
      refresh: Effect.gen(function* () {
        const now = yield* Effect.either(Files.signatureOf(path))
        const same = now._tag === "Right" && now.right.text === state.seen.text
        if (same && untold.length === 0 && (!state.isAhead || refused === state)) {
          return { snapshot: state.snapshot, changes: [] }
        }
        yield* locked(
          Effect.gen(function* () {
            yield* takeIn
            if (state.isAhead && refused !== state) yield* writeBack
          })
        ).pipe(
          // Where nobody can take the lock, nobody writes by it.
          Effect.catchIf(
            ({ kind }) => kind === "unwritable" || kind === "full",
            () => Effect.map(takeIn, giveUp)
          )
        )
        return tell()
      }).pipe(turns.withPermits(1))
    }
  })

/** The store of a file that exists; it lives as long as the scope. */
export const make = (
  path: string,
  options: HubState.Options = { ownerless: "refused" }
): Effect.Effect<typeof IdentityStore.Service, StoreFailure, Scope.Scope> =>
  Effect.flatMap(HubState.load(path, options), (loaded) => makeFrom(path, loaded, options))

/** The store of a hub's file, which must be there and have an owner. */
export const layer = (path: string): Layer.Layer<IdentityStore, StoreFailure> => Layer.scoped(IdentityStore, make(path))

/** What a record says of the file. One that cannot be read says nothing. */
export const recordedIn = ({ lastVersion, revision }: typeof Audit.Service): HubState.Recorded => ({
  revision: Effect.catchAllCause(revision, () => Effect.succeed(0)),
  lastVersion
})

/** The same of a file that was loaded a moment ago: what happened to it since is taken in, and the record beside it asked. */
export const layerFrom = (file: HubFile): Layer.Layer<IdentityStore, StoreFailure, Audit> =>
  Layer.scoped(
    IdentityStore,
    Effect.flatMap(Audit, (audit) =>
      makeFrom(file.path, file.loaded, { ownerless: "refused", recorded: recordedIn(audit) })
    )
  )
