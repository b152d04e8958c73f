/** Pairing codes in memory: for tests, and for hubs that keep nothing. Behaves as those in SQLite. */
import * as Crypto from "node:crypto"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { PAIR_CODE_KEPT } from "../protocol/Limits.ts"
import { codeDigest } from "./internal/codeDigest.ts"
import { PairCodes } from "./PairCodes.ts"
import type { PairCode } from "./PairCodes.ts"

interface Kept {
  readonly code: PairCode
  readonly digest: string
  /** Whom it was spent for. */
  spentFor?: string | undefined
}

const make = (): typeof PairCodes.Service => {
  const digest = codeDigest(Redacted.make(Crypto.randomBytes(32)))
  const kept = new Map<string, Kept>()
  let last = 0

  const redeemable = (now: number) =>
    [...kept.values()].filter(({ code, spentFor }) => spentFor === undefined && code.expiresAt > now)

  return {
    add: (secret, about) =>
      Effect.sync(() => {
        for (const [id, { code }] of kept) if (code.expiresAt < about.createdAt - PAIR_CODE_KEPT) kept.delete(id)
        const code: PairCode = { ...about, id: String(++last) }
        kept.set(code.id, { code, digest: digest(secret) })
        return code
      }),
    list: (now) => Effect.sync(() => redeemable(now).map(({ code }) => code)),
    find: (secret, now) =>
      Effect.sync(() => {
        const wanted = digest(secret)
        return redeemable(now).find((each) => each.digest === wanted)?.code
      }),
    spend: (id, identity, now) =>
      Effect.sync(() => {
        const found = redeemable(now).find(({ code }) => code.id === id)
        if (found !== undefined) found.spentFor = identity
        return found !== undefined
      }),
    giveBack: (id) =>
      Effect.sync(() => {
        const found = kept.get(id)
        if (found !== undefined) found.spentFor = undefined
      }),
    settle: (id) =>
      Effect.sync(() => {
        if (kept.get(id)?.spentFor !== undefined) kept.delete(id)
      }),
    unsettled: Effect.sync(() =>
      [...kept.values()].flatMap(({ code, spentFor }) =>
        spentFor === undefined ? [] : [{ ...code, identity: spentFor }]
      )
    ),
    cancel: (id) =>
      Effect.map(
        Clock.currentTimeMillis,
        (now) => redeemable(now).some(({ code }) => code.id === id) && kept.delete(id)
      ),
    count: (now) => Effect.sync(() => redeemable(now).length)
  }
}

export const layer: Layer.Layer<PairCodes> = Layer.sync(PairCodes, make)
