/**
 * Where identities and grants are kept. The Authority is its only writer in a hub; other programs may write the same
 * place at any time, and what they wrote is taken in here.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Snapshot } from "../policy/Identity.ts"
import type { AuditEvent } from "./Audit.ts"
import { defaults } from "./HubLimits.ts"
import type { HubLimits } from "./HubLimits.ts"

/** Why identities and grants could not be stored; nothing has changed. The message says what to do. */
export class StoreFailure extends Data.TaggedError("StoreFailure")<{
  /**
   * `unreadable`: what stands there cannot be understood, and a person must mend it first. `full`: no space is left.
   * `busy`: another program holds it. `unwritable`: anything else.
   */
  readonly kind: "unreadable" | "full" | "busy" | "unwritable"
  readonly message: string
}> {}

/** What stands there cannot be understood. */
export const unreadable = (message: string): StoreFailure => new StoreFailure({ kind: "unreadable", message })

/** Something that changed without the Authority, by hand or by `telahubd user`; or something that is odd about the file. */
export interface OutsideChange {
  /** The identity that changed, by its id now or before; absent when the whole file is meant. */
  readonly id?: string
  /**
   * `hand`: a person edited it. `tool`: a program of ours did, and has recorded it. `lost`: it was not taken, since an
   * acknowledged change of the same entry overrides it. `older`: the file is older than the record. `unrecorded`: it is
   * newer. `doubt`: it is taken, but perhaps not what was meant.
   */
  readonly how: "hand" | "tool" | "lost" | "older" | "unrecorded" | "doubt"
  /** A sentence for the log and the audit: the line, and what became of it. */
  readonly text: string
}

/** What is recorded of what others did. */
export const eventsOf = (changes: ReadonlyArray<OutsideChange>): ReadonlyArray<AuditEvent> =>
  changes
    .filter(({ how }) => how !== "tool" && how !== "doubt")
    .map(({ how, id, text }) => ({
      action: how === "older" || how === "unrecorded" ? "recovered" : "file-edit",
      ...(id !== undefined && { target: id }),
      from: "local",
      outcome: how === "older" || how === "lost" ? "failed" : "ok",
      why: text
    }))

/** The state after what others did. */
export interface TakenIn {
  readonly snapshot: Snapshot
  /** Empty when nobody did anything. */
  readonly changes: ReadonlyArray<OutsideChange>
}

/** What an edit of the Authority makes of the state it is given. */
export interface Edited<A> {
  readonly snapshot: Snapshot
  /** Ids of identities that are new, changed or gone. */
  readonly identities: ReadonlySet<string>
  /** Machines whose grants are new, changed or gone. */
  readonly machines: ReadonlySet<string>
  /** Former ids by new ones, so that a renamed entry stays where it was. */
  readonly renamed: ReadonlyMap<string, string>
  readonly result: A
}

export class IdentityStore extends Context.Tag("tela/store/IdentityStore")<
  IdentityStore,
  {
    /** What is stored at this moment, as far as is known. */
    readonly current: () => Snapshot
    /** How much each identity may have, as the same place says it at this moment. */
    readonly limits: () => HubLimits
    /**
     * Takes in what others did, lets `edit` (called at most once, in one turn) make the next state of that, and succeeds
     * when it is on disk. An edit without changed names writes nothing. What others did is taken in even when the write
     * fails: `takenIn` sees it before `edit` is called.
     */
    readonly update: <A>(
      takenIn: (state: TakenIn) => void,
      edit: (base: Snapshot) => Edited<A>
    ) => Effect.Effect<A, StoreFailure>
    /** Takes in what others did, if anything; cheap when nobody did. */
    readonly refresh: Effect.Effect<TakenIn, StoreFailure>
  }
>() {}

/** Keeps them in memory only; for tests and for hubs whose identities come from elsewhere at each start. */
export const layerMemory = (initial: Snapshot, limits = defaults): Layer.Layer<IdentityStore> =>
  Layer.sync(IdentityStore, () => {
    let snapshot = initial
    return {
      current: () => snapshot,
      limits: () => limits,
      update: (_takenIn, edit) =>
        Effect.sync(() => {
          const edited = edit(snapshot)
          snapshot = edited.snapshot
          return edited.result
        }),
      refresh: Effect.sync(() => ({ snapshot, changes: [] }))
    }
  })
