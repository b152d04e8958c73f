/**
 * Pairing codes: made by somebody who may give what they give, redeemed once by whoever has one (spec: hub-api 4). A code
 * is worth what its maker may do at the moment of redemption, and nothing when that has ended. Whatever is wrong with a
 * code, the answer is the same; a code is in no log, no record and no error.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Codes from "../crypto/PairCode.ts"
import * as Token from "../crypto/Token.ts"
import { Change } from "../policy/Change.ts"
import { identify, identityOf } from "../policy/Identity.ts"
import type { Identity, Snapshot } from "../policy/Identity.ts"
import { decide } from "../policy/Policy.ts"
import * as Limits from "../protocol/Limits.ts"
import { Audit } from "../store/Audit.ts"
import type { StoreFailure } from "../store/IdentityStore.ts"
import { PairCodes } from "../store/PairCodes.ts"
import type { PairCode } from "../store/PairCodes.ts"
import { Authority } from "./Authority.ts"
import type { Caller } from "./Authority.ts"
import * as Deadlines from "./internal/deadlines.ts"
import { pairedId } from "./internal/pairedId.ts"
import * as Tries from "./internal/pairingTries.ts"
import type { TooManyTries } from "./internal/pairingTries.ts"

/** What a code is to give; machines and role were checked. */
export type NewCode = Pick<PairCode, "type" | "machines" | "role"> & { readonly lifetime: number }

/** PAIR_CODES can be redeemed already. */
export class TooManyCodes extends Data.TaggedError("TooManyCodes")<{}> {}

/** The code is unknown, expired, spent, cancelled, for another machine, or its maker may not make it any more. */
export class WrongCode extends Data.TaggedError("WrongCode")<{}> {}

/** The code is good, and of another type than was wanted; it is not spent. */
export class OtherType extends Data.TaggedError("OtherType")<{ readonly type: PairCode["type"] }> {}

/** A try to redeem a code. */
export interface Try {
  /** As a person typed it. */
  readonly code: Redacted.Redacted
  /** The machine that an agent is to be. */
  readonly machine: string | undefined
  /** The type that the code is to be of; any without it. */
  readonly type?: string | undefined
}

/** What came of a code. */
export interface Redeemed {
  readonly token: Redacted.Redacted
  readonly identity: string
  readonly code: PairCode
}

export class Pairing extends Context.Tag("tela/hub/Pairing")<
  Pairing,
  {
    /** Makes a code, which nothing shows again. */
    readonly create: (
      by: Caller,
      asked: NewCode
    ) => Effect.Effect<{ readonly code: Redacted.Redacted; readonly about: PairCode }, TooManyCodes | StoreFailure>
    /** Codes that can be redeemed, oldest first. */
    readonly list: Effect.Effect<ReadonlyArray<PairCode>>
    /** Takes a code back; false when there was none to redeem. */
    readonly cancel: (by: Caller, id: string) => Effect.Effect<boolean, StoreFailure>
    /**
     * Makes the identity that a code is for. `said` reads what somebody at a network address tries, and does so only when
     * that address may still try.
     */
    readonly redeem: <E, R>(
      from: string,
      said: Effect.Effect<Try, E, R>
    ) => Effect.Effect<Redeemed, E | WrongCode | OtherType | TooManyTries | StoreFailure, R>
  }
>() {}

/** Whoever made a code, if they may make it at this moment. */
const makerOf = (snapshot: Snapshot, code: PairCode, now: number): Identity | undefined => {
  const maker = identify(snapshot, code.createdWith, now)
  if (maker === undefined || !decide(snapshot, { identity: maker, permission: "admin", now }).permit) return undefined
  return code.role === "owner" && maker.role !== "owner" ? undefined : maker
}

/** Nobody gives an administrator more time than they have. */
const expiryOf = ({ expiresAt }: Identity, role: PairCode["role"]) =>
  expiresAt === undefined || role === "user" ? {} : { expiresAt }

const describe = ({ id, machines, role, type }: PairCode): string =>
  `code=${id} type=${type} role=${role} machines=${machines.join(",")}`

/** A code whose identity was made is good for nothing any more, even while that cannot be written. */
const settle = (codes: typeof PairCodes.Service, id: string) =>
  Effect.catchAll(codes.settle(id), ({ message }) =>
    Effect.logWarning(`a redeemed pairing code is not forgotten yet: ${message}`)
  )

/** A code that a hub was redeeming when it stopped is spent, whether or not its identity was made; nobody got its token. */
const recover = (snapshot: Snapshot, codes: typeof PairCodes.Service, audit: typeof Audit.Service) =>
  Effect.gen(function* () {
    for (const code of yield* codes.unsettled) {
      if (identityOf(snapshot, code.identity) === undefined) {
        yield* audit.record([
          {
            action: "recovered",
            actor: code.createdBy,
            target: code.identity,
            from: "local",
            outcome: "failed",
            why: "the hub stopped while this pairing code was redeemed, before its identity was made",
            detail: describe(code)
          }
        ])
      }
      yield* settle(codes, code.id)
    }
  })

export const make: Effect.Effect<typeof Pairing.Service, never, Authority | Audit | PairCodes | Scope.Scope> =
  Effect.gen(function* () {
    const authority = yield* Authority
    const audit = yield* Audit
    const codes = yield* PairCodes
    const tries = yield* Tries.make
    /** Names that identities get at this moment: several codes for one machine may be redeemed at once. */
    const making = new Set<string>()
    /** Digests of the tokens that codes were made with, so that a change of anybody else costs nothing here. */
    let makers = new Set<string>()

    const standing = (now: number) =>
      Effect.map(codes.list(now), (list) => {
        const snapshot = authority.snapshot()
        return list.map((code) => ({ code, maker: makerOf(snapshot, code, now) }))
      })

    /** Takes back the codes whose maker may not make them any more, for good: the right may come back, they do not. */
    const sweep = Effect.gen(function* () {
      const made = yield* standing(yield* Clock.currentTimeMillis)
      makers = new Set()
      for (const { maker } of made) if (maker !== undefined) watch(maker)
      for (const { code, maker } of made) {
        if (maker === undefined && (yield* codes.cancel(code.id))) {
          audit.note({
            action: "access-ended",
            target: code.createdBy,
            outcome: "ok",
            why: `${code.createdBy} may not make this pairing code any more`,
            detail: describe(code)
          })
        }
      }
    }).pipe(
      Effect.catchAll(({ message }) => Effect.logError(`pairing codes that ended could not be taken back: ${message}`))
    )

    yield* recover(authority.snapshot(), codes, audit)
    const ended = yield* Queue.sliding<void>(1)
    const expiries = yield* Deadlines.make(() => void ended.unsafeOffer(undefined))
    const watch = ({ expiresAt, tokenHash }: Identity) => {
      makers.add(tokenHash)
      if (expiresAt !== undefined) expiries.add(tokenHash, expiresAt)
    }
    authority.onChange((_snapshot, tokens) => {
      if (tokens === "all" || [...tokens].some((token) => makers.has(token))) ended.unsafeOffer(undefined)
    })
    yield* sweep
    yield* Queue.take(ended).pipe(
      Effect.zipRight(sweep),
      Effect.catchAllDefect((defect) => Effect.logError("looking for pairing codes that ended failed", defect)),
      Effect.forever,
      Effect.forkScoped
    )

    /** What a try is for, if it is worth something; spends nothing. */
    const find = ({ machine, type }: Try, code: Redacted.Redacted | undefined, now: number) =>
      Effect.gen(function* () {
        const about = code && (yield* codes.find(code, now))
        const maker = about && makerOf(authority.snapshot(), about, now)
        if (about === undefined || maker === undefined) return yield* new WrongCode()
        if (type !== undefined && type !== about.type) return yield* new OtherType({ type: about.type })
        const other = machine !== undefined && !about.machines.includes(machine)
        if (about.type === "register" && other) return yield* new WrongCode()
        return { about, maker }
      })

    /** Spends a code and makes its identity of this name, or gives it back. */
    const spend = (id: string, about: PairCode, by: Caller, now: number) =>
      Effect.gen(function* () {
        if (!(yield* codes.spend(about.id, id, now))) return yield* new WrongCode()
        const token = Token.generate()
        const { machines, role, type } = about
        const change = Change.Add({
          id,
          role,
          token: Token.kept(token),
          ...expiryOf(by.identity, role),
          grants: machines.map((machine) => ({ machine, permission: type }))
        })
        const event = { action: "pair", detail: describe(about) } as const
        yield* Effect.tapError(authority.change({ change, by, event }), () => codes.giveBack(about.id))
        yield* settle(codes, about.id)
        return { token, identity: id, code: about }
      })

    /** The same under a name that nobody has or is about to get. */
    const spendOn = (about: PairCode, by: Caller, now: number) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const isFree = (id: string) => !making.has(id) && identityOf(authority.snapshot(), id) === undefined
          const id = pairedId(about, now, isFree)
          making.add(id)
          return id
        }),
        (id) => spend(id, about, by, now),
        (id) => Effect.sync(() => making.delete(id))
      )

    const redeem = (tried: Try, code: Redacted.Redacted | undefined, from: string, now: number) =>
      Effect.flatMap(find(tried, code, now), ({ about, maker }) =>
        spendOn(about, { identity: maker, from }, now).pipe(
          // Somebody was added by that name meanwhile: it is no fault of the code's, and the next name is another one.
          Effect.retry({ while: (error) => error._tag === "ChangeRefused" && error.kind === "exists" }),
          Effect.catchTag("ChangeRefused", () => new WrongCode())
        )
      )

    return {
      create: (by, { lifetime, ...asked }) =>
        Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          if ((yield* codes.count(now)) >= Limits.PAIR_CODES) return yield* new TooManyCodes()
          const code = Codes.generate()
          const { id: createdBy, tokenHash: createdWith } = by.identity
          watch(by.identity)
          const about = yield* codes.add(code, {
            ...asked,
            createdBy,
            createdWith,
            createdAt: now,
            expiresAt: now + lifetime
          })
          yield* audit.record([
            { action: "pair-code-create", actor: createdBy, from: by.from, outcome: "ok", detail: describe(about) }
          ])
          return { code, about }
        }),
      list: Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.map(standing(now), (list) => list.flatMap(({ code, maker }) => (maker === undefined ? [] : [code])))
      ),
      cancel: (by, id) =>
        Effect.tap(codes.cancel(id), (was) =>
          was
            ? audit.record([
                {
                  action: "pair-code-cancel",
                  actor: by.identity.id,
                  from: by.from,
                  outcome: "ok",
                  detail: `code=${id}`
                }
              ])
            : Effect.void
        ),
      redeem: (from, said) =>
        Effect.gen(function* () {
          yield* tries.begin(from)
          const tried = yield* said
          const code = Codes.canonical(Redacted.value(tried.code))
          yield* tries.of(from, code)
          const now = yield* Clock.currentTimeMillis
          return yield* Effect.tapErrorTag(redeem(tried, code, from, now), "WrongCode", () =>
            Effect.sync(() => {
              tries.wrong(from)
              audit.note({ action: "pair", from, outcome: "denied", why: "no such pairing code" })
            })
          )
        })
    }
  })
