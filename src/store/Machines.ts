/**
 * Machines that a hub has seen, so that the next hub lists those that are offline, and knows whom to expect. Nothing here
 * says who may do what.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/** A machine as it was seen last. Times are milliseconds since the epoch. */
export interface SeenMachine {
  readonly name: string
  /** What its agent said of it, as text that only the hub reads. */
  readonly about: string
  /** Id of the identity that registered it. */
  readonly registeredBy: string
  readonly registeredAt: number
  /** When its agent left; undefined while that is connected. */
  readonly lastSeen: number | undefined
}

/** What a hub finds when it starts. */
export interface Seen {
  readonly machines: ReadonlyArray<SeenMachine>
  /** The last instant, within HUB_RUNNING_INTERVAL, at which a hub ran here; 0 for none. */
  readonly until: number
}

export class Machines extends Context.Tag("tela/store/Machines")<
  Machines,
  {
    /** What hubs before this one have left: DIRECTORY_MACHINES at most, the one not seen longest first. */
    readonly seen: Effect.Effect<Seen>
    /** Keeps a machine as it is now, soon. What another hub knows of a later registration stays. */
    readonly note: (machine: SeenMachine) => void
  }
>() {}
