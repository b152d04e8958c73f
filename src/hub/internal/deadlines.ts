/** Instants at which something is to be looked at again: one fiber and one timer for all of them. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import { EXPIRY_LOOK } from "../../protocol/Limits.ts"

export interface Deadlines {
  /** An instant of a key, in milliseconds since the epoch; the earliest it was given counts. */
  readonly add: (key: string, at: number) => void
  readonly delete: (key: string) => void
}

/** Calls `due` for each key when its instant has come, which is then forgotten. Ends with the scope. */
export const make = (due: (key: string) => void): Effect.Effect<Deadlines, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const instants = new Map<string, number>()
    let nearest = Infinity
    let sooner = Deferred.unsafeMake<void>(FiberId.none)

    const wait = Effect.suspend(() => {
      sooner = Deferred.unsafeMake(FiberId.none)
      nearest = Infinity
      for (const at of instants.values()) nearest = Math.min(nearest, at)
      if (nearest === Infinity) return Deferred.await(sooner)
      // In pieces: a timer counts milliseconds, up to 2^31 of them, while the time of day may be set.
      const left = Math.min(Math.max(nearest - clock.unsafeCurrentTimeMillis(), 1), EXPIRY_LOOK)
      return Effect.raceFirst(Effect.sleep(left), Deferred.await(sooner))
    })

    const look = Effect.sync(() => {
      const now = clock.unsafeCurrentTimeMillis()
      for (const [key, at] of instants) {
        if (at > now) continue
        instants.delete(key)
        due(key)
      }
    }).pipe(Effect.catchAllDefect((defect) => Effect.logError("an expiry was not acted upon", defect)))

    yield* Effect.zipRight(wait, look).pipe(Effect.forever, Effect.interruptible, Effect.forkScoped)
    return {
      add: (key, at) => {
        instants.set(key, Math.min(at, instants.get(key) ?? at))
        if (at < nearest) Deferred.unsafeDone(sooner, Effect.void)
      },
      delete: (key) => void instants.delete(key)
    }
  })
