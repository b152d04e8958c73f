/**
 * Pairing codes that were given out and not yet redeemed. Kept as keyed digests: neither the code nor anything it could
 * be guessed from is stored.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { AssignableRole } from "../policy/Identity.ts"
import type { StoreFailure } from "./IdentityStore.ts"

/** What a code is for: a person who is to connect, or an agent that is to register. */
export const pairTypes = ["connect", "register"] as const
export type PairType = (typeof pairTypes)[number]

/** Roles of identities that a code can make. */
export const pairRoles = ["user", "admin", "owner"] as const

/** A code, without the code. Instants are milliseconds since the epoch. */
export interface PairCode {
  /** Names it in lists, for cancelling: a short number of its own, not part of the code. */
  readonly id: string
  readonly type: PairType
  /** Machines it grants `type` on; `*` is every machine. */
  readonly machines: ReadonlyArray<string>
  /** Role of the identity it makes. */
  readonly role: AssignableRole
  /** Who made it, as they were called then. */
  readonly createdBy: string
  /** Digest of the token it was made with: when that may no longer make codes, the code is worth nothing. */
  readonly createdWith: string
  readonly createdAt: number
  readonly expiresAt: number
}

/** A code that was spent, and the id of the identity that was to come of it. */
export interface SpentCode extends PairCode {
  readonly identity: string
}

/** What cannot be written fails with the reason, and has changed nothing. */
export class PairCodes extends Context.Tag("tela/store/PairCodes")<
  PairCodes,
  {
    /** Keeps a code. The text is as PairCode.canonical makes it. */
    readonly add: (code: Redacted.Redacted, about: Omit<PairCode, "id">) => Effect.Effect<PairCode, StoreFailure>
    /** Codes that can still be redeemed, oldest first. */
    readonly list: (now: number) => Effect.Effect<ReadonlyArray<PairCode>>
    /** What a code is for, if it can be redeemed now; spends nothing. */
    readonly find: (code: Redacted.Redacted, now: number) => Effect.Effect<PairCode | undefined>
    /**
     * Spends a code: of any number of calls at a time, exactly one gets it. `identity` is the id it is to make. Once
     * this succeeds the code stays spent, whatever becomes of the machine.
     */
    readonly spend: (id: string, identity: string, now: number) => Effect.Effect<boolean, StoreFailure>
    /** Makes a spent code good again, because its identity could not be made. */
    readonly giveBack: (id: string) => Effect.Effect<void, StoreFailure>
    /** Forgets a spent code, because its identity was made. */
    readonly settle: (id: string) => Effect.Effect<void, StoreFailure>
    /** Codes that are spent and not settled: at a start, those that a hub was redeeming when it stopped. */
    readonly unsettled: Effect.Effect<ReadonlyArray<SpentCode>>
    /** Takes a code back; false when there was none to redeem. */
    readonly cancel: (id: string) => Effect.Effect<boolean, StoreFailure>
    /** How many can be redeemed. */
    readonly count: (now: number) => Effect.Effect<number>
  }
>() {}
