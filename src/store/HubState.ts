/**
 * telahubd.yaml as it is at one moment: what is in force, the text that says so, and how to get from an older moment to
 * the file as somebody else has left it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Snapshot } from "../policy/Identity.ts"
import { HUB_FILE_BYTES, HUB_FILE_SETTLE, HUB_FILE_SETTLE_TRIES } from "../protocol/Limits.ts"
import { begin } from "./AuthBegin.ts"
import { merge } from "./AuthMerge.ts"
import type { Merged } from "./AuthMerge.ts"
import * as AuthText from "./AuthText.ts"
import { expiring, hasOwner, ownerless, withLastingOwner } from "./HubOwners.ts"
import * as HubReader from "./HubReader.ts"
import type { FileSettings } from "./HubSettings.ts"
import { unreadable } from "./IdentityStore.ts"
import type { OutsideChange, StoreFailure } from "./IdentityStore.ts"
import * as Files from "./internal/files.ts"
import * as Snapshots from "./internal/snapshots.ts"

/** The file at one moment. */
export interface HubState {
  readonly snapshot: Snapshot
  /** Says exactly what the snapshot does. */
  readonly text: AuthText.AuthText
  /** What the file looked like when it was read or written. */
  readonly seen: Files.Signature
  /** Whether the file differs from the text in more than its form; the revision is that of the file until it is written. */
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

/** What was recorded beside the file, which an old copy of it cannot undo. */
export interface Recorded {
  /** The last revision; 0 when nothing was recorded. */
  readonly revision: Effect.Effect<number>
  /** The version of a former identity of an id; 0 when there was none. */
  readonly lastVersion: (id: string) => number
}

/** How to read. */
export interface Options {
  /** What a file without a valid owner is: `telahubd user` mends it, a hub refuses it. */
  readonly ownerless: "refused" | "taken"
  /** What a file is that is older than the record; taken unless said otherwise. */
  readonly older?: "refused" | "taken"
  /** Nothing was recorded unless given. */
  readonly recorded?: Recorded
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
      return yield* ownerless(path, reading.empty ? "everything" : "owner")
    }
    const found = isFirst
      ? begin(path, reading)
      : merge({
          path,
          reading,
          current: known.snapshot,
          base,
          lastVersion: options.recorded?.lastVersion ?? (() => 0)
        })
    const owned = withLastingOwner(found, now)
    if (owned === undefined && options.ownerless === "refused") return yield* ownerless(path, "owner")
    const { kept, merged } = owned ?? { kept: undefined, merged: found }
    const edited = kept !== undefined || merged.changes.some(({ how }) => how !== "tool")
    const isAhead = isFirst
      ? edited
      : edited || reading.text.revision < known.snapshot.revision || saysOther(reading, merged)
    const { snapshot } = merged
    const text = AuthText.change(reading.text, {
      revision: snapshot.revision,
      ...AuthText.bodiesOf(snapshot, merged)
    })
    const readable = `${path}: other users can read this file, and it holds secrets; run: chmod 600 ${path}`
    const warnings = [...(exposed ? [readable] : []), ...reading.warnings]
    const owners = kept === undefined ? [] : [expiring(path, kept)]
    const said = new Set(before?.state.warnings)
    // At a start they are said by whoever loads the file.
    const doubts = isFirst ? [] : [...warnings.filter((text) => !said.has(text)), ...owners]
    return {
      changes: [...merged.changes, ...doubts.map((text) => ({ how: "doubt", text }) as const)],
      state: {
        snapshot,
        text,
        seen,
        isAhead,
        deployed: reading.deployed ? content : undefined,
        converted: reading.converted,
        bare: before?.state.bare.filter((id) => reading.ids.has(id)) ?? merged.bare,
        settings: reading.settings,
        warnings: [...warnings, ...owners]
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
export const takeIn = Effect.fnUntraced(function* (
  path: string,
  before: Before,
  options: Options
): Effect.fn.Return<Taken | undefined, StoreFailure> {
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
