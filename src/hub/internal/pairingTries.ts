/**
 * Tries to redeem pairing codes: how many there may be by address, by code and in all. Those that are refused are told in
 * one line a minute and not one each: whoever guesses must not fill the log.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Token from "../../crypto/Token.ts"
import * as Limits from "../../protocol/Limits.ts"
import { network } from "../../transport/ClientAddress.ts"
import * as RateLimit from "../RateLimit.ts"

/** Too many tries; `wait` is milliseconds. */
export class TooManyTries extends Data.TaggedError("TooManyTries")<{ readonly wait: number }> {}

export interface Tries {
  /** Takes a try of an address, whatever it is going to say. One that it may not make takes nothing from the others. */
  readonly begin: (from: string) => Effect.Effect<void, TooManyTries>
  /** Takes a try of a code, and of all there may be; what no code looks like is one of those alone. */
  readonly of: (from: string, code: Redacted.Redacted | undefined) => Effect.Effect<void, TooManyTries>
  /** Counts a code that was worth nothing. */
  readonly wrong: (from: string) => void
}

export const make: Effect.Effect<Tries, never, Scope.Scope> = Effect.gen(function* () {
  const ofAddress = RateLimit.make(Limits.PAIR_RATE)
  const ofSite = RateLimit.make(Limits.PAIR_SITE_RATE)
  const ofCode = RateLimit.make(Limits.PAIR_CODE_RATE)
  const all = RateLimit.make(Limits.PAIR_TOTAL_RATE, 1)
  let wrong = 0
  let throttled = 0
  let last = ""

  yield* Effect.suspend(() => {
    if (wrong + throttled === 0) return Effect.void
    const line = `${wrong} wrong pairing codes in the last minute, ${throttled} tries more were too many; the last from ${last}`
    wrong = throttled = 0
    return Effect.logWarning(line)
  }).pipe(Effect.delay(Limits.PAIR_LOG_INTERVAL), Effect.forever, Effect.forkScoped)

  const limited = (from: string, take: (now: number) => number): Effect.Effect<void, TooManyTries> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const wait = take(now)
      if (wait === 0) return Effect.void
      throttled += 1
      last = from
      return new TooManyTries({ wait })
    })

  return {
    begin: (from) => limited(from, (now) => ofAddress.take(network(from), now) || ofSite.take(network(from, 48), now)),
    of: (from, code) =>
      limited(from, (now) => (code === undefined ? 0 : ofCode.take(Token.hashOf(code), now)) || all.take("", now)),
    wrong: (from) => {
      wrong += 1
      last = from
    }
  }
})
