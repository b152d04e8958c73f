/**
 * telahubd.yaml as it is at one moment: what is in force, the text that says so, and how to get from an older moment to
 * the file as somebody else has left it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import { identityOf, invalidity, isLastingOwner } from "../policy/Identity.ts"
import type { Identity, Snapshot } from "../policy/Identity.ts"
import { HUB_FILE_BYTES, HUB_FILE_SETTLE, HUB_FILE_SETTLE_TRIES } from "../protocol/Limits.ts"
import { begin } from "./AuthBegin.ts"
import { merge } from "./AuthMerge.ts"
import type { Merged } from "./AuthMerge.ts"
import * as AuthText from "./AuthText.ts"
import * as HubReader from "./HubReader.ts"
import type { FileSettings } from "./HubSettings.ts"
import { StoreFailure } from "./IdentityStore.ts"
import type { OutsideChange } from "./IdentityStore.ts"
import * as Files from "./internal/files.ts"
import * as Snapshots from "./internal/snapshots.ts"

/** The file at one moment. */
export interface HubState {
  readonly snapshot: Snapshot
  /** Says exactly what the snapshot does. */
  readonly text: AuthText.AuthText
  /** What the file looked like when it was read or written. */
  readonly seen: Files.Signature
  /** Whether the file differs from the text in more than its form. */
  readonly isAhead: boolean
  /** The file's own text, when it is in the deployed hub's form. */
  readonly deployed: string | undefined
  /** Whether the text must be tried before it is written, because the file is in another form. */
  readonly converted: boolean
  /** Identities whose lines have no version yet; the first write gives them one. */
  readonly bare: ReadonlyArray<string>
  readonly settings: FileSettings
  /** For the log, one line each. */
  readonly warnings: ReadonlyArray<string>
}

/** What a file became, and what others did to it since. */
export interface Taken {
  readonly state: HubState
  readonly changes: ReadonlyArray<OutsideChange>
}

/** How to read. */
export interface Options {
  /** What a file without a valid owner is: `telahubd user` mends it, a hub refuses it. */
  readonly ownerless: "refused" | "taken"
}

const unreadable = (message: string) => new StoreFailure({ kind: "unreadable", message })

const ownerless = (path: string, empty: boolean) =>
  unreadable(
    `${path}: ${empty ? "this file is empty" : "no valid identity in this file has the role owner"}; a hub never runs like ` +
      "that. Restore the file from a backup, or, on the hub's machine, run `telahubd user rotate <owner>` or " +
      "`telahubd user add <id> -role owner`"
  )

/** The valid owner whose time ends last. */
const longestOwner = (snapshot: Snapshot, now: number): Identity | undefined =>
  HashMap.reduce(snapshot.identities, undefined as Identity | undefined, (best, identity) =>
    identity.role !== "owner" || invalidity(identity, now) !== undefined
      ? best
      : best === undefined || (identity.expiresAt ?? Infinity) > (best.expiresAt ?? Infinity)
        ? identity
        : best
  )

/** Whether the file itself has a valid owner, whatever it is merged with. */
const hasOwner = (reading: HubReader.Reading, known: Snapshot, now: number): boolean => {
  for (const id of reading.ids) {
    const identity = reading.identities.get(id)?.value ?? identityOf(known, id)
    if (identity?.role !== "owner") continue
    if (invalidity({ ...identity, version: identity.version ?? 1 }, now) === undefined) return true
  }
  return false
}

/** One owner always stands whom no expiry takes away: where all expire, the last one does not. Undefined without any. */
const withLastingOwner = (
  merged: Merged,
  now: number
): { readonly merged: Merged; readonly kept: Identity | undefined } | undefined => {
  const { snapshot } = merged
  if (HashMap.some(snapshot.identities, isLastingOwner)) return { merged, kept: undefined }
  const kept = longestOwner(snapshot, now)
  if (kept === undefined) return undefined
  const { expiresAt: _, ...lasting } = kept
  const { revision } = snapshot
  const exchange = { revision, identities: new Map([[kept.id, lasting]]), machines: new Map() }
  return {
    merged: {
      ...merged,
      snapshot: Snapshots.apply(snapshot, exchange),
      identities: new Set([...merged.identities, kept.id])
    },
    kept
  }
}

/** How the file looks once nobody is writing it: an editor may do so in pieces. */
const settled = (path: string): Effect.Effect<Files.Signature, StoreFailure> =>
  Effect.gen(function* () {
    let before = yield* Files.signatureOf(path)
    for (let tries = 0; tries < HUB_FILE_SETTLE_TRIES; tries++) {
      yield* Effect.sleep(HUB_FILE_SETTLE)
      const now = yield* Files.signatureOf(path)
      if (now.text === before.text) return now
      before = now
    }
    return yield* unreadable(`${path}: somebody is still writing it`)
  }).pipe(Effect.catchTag("FileProblem", ({ problem }) => unreadable(`${path}: ${problem}`)))

const nothing: HubReader.Known = { text: AuthText.empty, snapshot: Snapshots.empty }

/** Whether entries in our form say something else than what is in force. */
const saysOther = (reading: HubReader.Reading, merged: Merged): boolean =>
  merged.identities.size > new Set(reading.oddIdentities).size ||
  merged.machines.size > new Set(reading.oddMachines).size

interface Before {
  readonly state: HubState
  /** What was in force at a revision, as far as it is kept. */
  readonly snapshotAt: (revision: number) => Snapshot | undefined
}

const readFrom = (
  path: string,
  seen: Files.Signature,
  before: Before | undefined,
  options: Options
): Effect.Effect<Taken, StoreFailure> =>
  Effect.gen(function* () {
    const known = before?.state ?? nothing
    const { exposed, text: content } = yield* Effect.mapError(
      Files.readText(seen.target, HUB_FILE_BYTES),
      ({ problem }) => unreadable(`${path}: ${problem}`)
    )
    const reading = yield* Effect.mapError(HubReader.read(path, content, known), ({ message }) => unreadable(message))
    const isFirst = before === undefined
    const base =
      before === undefined || reading.text.revision > known.snapshot.revision
        ? known.snapshot
        : before.snapshotAt(reading.text.revision)
    const now = yield* Clock.currentTimeMillis
    if (options.ownerless === "refused" && !hasOwner(reading, known.snapshot, now)) {
      return yield* ownerless(path, reading.empty)
    }
    const found = isFirst ? begin(path, reading) : merge({ path, reading, current: known.snapshot, base })
    const owned = withLastingOwner(found, now)
    if (owned === undefined && options.ownerless === "refused") return yield* ownerless(path, false)
    const { kept, merged } = owned ?? { kept: undefined, merged: found }
    const edited = merged.changes.some(({ how }) => how !== "tool")
    const isAhead = isFirst
      ? edited
      : edited || reading.text.revision < known.snapshot.revision || saysOther(reading, merged)
    const revision = merged.snapshot.revision + (isAhead ? 1 : 0)
    const snapshot = { ...merged.snapshot, revision }
    const text = AuthText.change(reading.text, { revision, ...AuthText.bodiesOf(snapshot, merged) })
    const readable = `${path}: other users can read this file, and it holds secrets; run: chmod 600 ${path}`
    const expiring =
      `${path}: every owner expires; ${kept?.id ?? ""}, the last one, is treated as one that does not. To give another ` +
      "identity that role, run: telahubd user add <id> -role owner"
    return {
      changes: merged.changes,
      state: {
        snapshot,
        text,
        seen,
        isAhead,
        deployed: reading.deployed ? content : undefined,
        converted: reading.converted,
        bare: before?.state.bare.filter((id) => reading.ids.has(id)) ?? merged.bare,
        settings: reading.settings,
        warnings: [...(exposed ? [readable] : []), ...reading.warnings, ...(kept === undefined ? [] : [expiring])]
      }
    }
  })

/** Reads a file of which nothing is known yet. */
export const load = (path: string, options: Options): Effect.Effect<Taken, StoreFailure> =>
  Files.signatureOf(path).pipe(
    Effect.mapError(({ problem }) => unreadable(`${path}: ${problem}`)),
    Effect.flatMap((seen) => readFrom(path, seen, undefined, options))
  )

/** Takes in what others have written since; undefined when nobody has. */
export const takeIn = (
  path: string,
  before: Before,
  options: Options
): Effect.Effect<Taken | undefined, StoreFailure> =>
  Effect.gen(function* () {
    const now = yield* Effect.mapError(Files.signatureOf(path), ({ problem }) =>
      unreadable(`${path}: ${problem}; put the file back, then changes are taken again`)
    )
    if (now.text === before.state.seen.text) return undefined
    return yield* readFrom(path, yield* settled(path), before, options)
  })

/** Whether a text, read anew, says what the snapshot does: asked before a file in another form is replaced. */
export const isFaithful = (
  path: string,
  { snapshot, text }: Pick<HubState, "snapshot" | "text">
): Effect.Effect<boolean> => {
  const content = Buffer.concat(AuthText.pieces(text)).toString()
  return HubReader.read(path, content, { snapshot, text }).pipe(
    Effect.map(
      (reading) =>
        !reading.converted &&
        reading.text.revision === snapshot.revision &&
        [
          reading.identities.size,
          reading.machines.size,
          reading.goneIdentities.length,
          reading.goneMachines.length
        ].every((count) => count === 0)
    ),
    Effect.orElseSucceed(() => false)
  )
}
