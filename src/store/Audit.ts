/**
 * The record of what happened: who did what, on what, from where, with what outcome and why. Typed events go in, in
 * order; /api/history reads them.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/** What may happen. The first four are the deployed hub's, by its names (spec: hub-api 5). */
export const auditActions = [
  "agent-register",
  "agent-disconnect",
  "client-connect",
  "client-disconnect",
  "token-add",
  "token-revoke",
  "token-rotate",
  "access-update",
  "access-rename",
  "access-remove",
  "access-grant",
  "access-revoke",
  "pair-code-create",
  "pair-code-cancel",
  "pair",
  /** A session, registration or pairing code that policy no longer permitted. */
  "access-ended",
  /** An entry of the file that a person changed, or whose change an acknowledged one overrode. */
  "file-edit",
  /** A change that stands in the file but not in the record: the hub stopped between the two. */
  "recovered",
  /** Somebody had the hub restarted, or updated, or chose where its updates come from. */
  "hub-restart",
  /** A file of a release channel was taken, and a release made the newest of its channel. */
  "channel-upload",
  "channel-publish",
  "hub-update",
  "hub-channel",
  /** Somebody asked an agent for something, which `detail` names. */
  "agent-manage",
  /** An attempt without rights on the API. */
  "admin-denied"
] as const
export type AuditAction = (typeof auditActions)[number]

/** One event. Never holds a token, a code or a key. */
export interface AuditEvent {
  readonly action: AuditAction
  /** Id of the identity that acted; absent for a stranger. */
  readonly actor?: string
  /** Id of the identity that was acted upon. */
  readonly target?: string
  readonly machine?: string
  /** Network address of the actor; `local` on the hub's own machine. */
  readonly from?: string
  readonly outcome: "ok" | "denied" | "failed"
  /** The rule or the reason. */
  readonly why?: string
  /** What else is worth knowing, as the deployed hub writes it in `detail`. */
  readonly detail?: string
}

/** An event as it was recorded. */
export interface AuditRecord extends AuditEvent {
  /** Increases by at least one from each event to the next. */
  readonly sequence: number
  /** Milliseconds since the epoch. */
  readonly at: number
  /** What the actor, and the target, are called now, where they were renamed or removed since ({@link removedName}). */
  readonly actorNow?: string
  readonly targetNow?: string
}

/** What somebody may read who does not see everything. */
export interface Reader {
  /** Reads events of, or upon, this identity, under any name it had. */
  readonly identity: string
  /** And what succeeded of these, whoever did it. */
  readonly actions: ReadonlyArray<AuditAction>
  /** All of it on these machines alone; on any unless given. What is on no machine is not for readers. */
  readonly machines?: ReadonlyArray<string>
}

/** What to look for; everything given must hold. */
export interface AuditQuery {
  readonly limit: number
  /** Only events before this sequence. */
  readonly before?: number
  readonly machine?: string
  /** Only events of, or upon, this identity, under any name it had; one that was removed is meant by its last name. */
  readonly identity?: string
  readonly reader?: Reader
  /** Looks at this number of events at most; at all unless given. */
  readonly within?: number
}

/** What an identity that is gone is called: no identity can have a name with a space in it. */
export const removedName = (id: string): string => `${id} (removed)`

export class Audit extends Context.Tag("tela/store/Audit")<
  Audit,
  {
    /**
     * Records events of one change; they are stored when it succeeds. `revision` is that of the identities and grants
     * after the change. A record that cannot be written is logged, and does not undo what was done.
     */
    readonly record: (events: ReadonlyArray<AuditEvent>, revision?: number) => Effect.Effect<void>
    /** Records an event soon, in order. Denied ones are sampled under flood; how many were left out is recorded. */
    readonly note: (event: AuditEvent) => void
    /**
     * Notes that an identity, at this version, got another name, or is gone. What is recorded before this knows it by the
     * name it had; a later identity of that name is another one, whose versions go on from there.
     */
    readonly renamed: (from: string, to: string, version: number) => Effect.Effect<void>
    readonly removed: (id: string, version: number) => Effect.Effect<void>
    /** Events, newest first, those noted included. */
    readonly list: (query: AuditQuery) => Effect.Effect<ReadonlyArray<AuditRecord>>
    /** The last revision that was recorded; 0 before the first. */
    readonly revision: Effect.Effect<number>
    /** The version that an identity of this id had when it was removed or renamed; 0 when there was none. */
    readonly lastVersion: (id: string) => number
  }
>() {}
