import * as Effect from "effect/Effect"

/** Lets fibers wait for what plain callbacks change. */
export interface Conditions {
  /** Waits until that holds. It is looked at now and at each `changed`. */
  readonly when: (holds: () => boolean) => Effect.Effect<void>
  /** To be called after each change. */
  readonly changed: () => void
}

export const make = (): Conditions => {
  const waiters = new Set<() => void>()
  return {
    when: (holds) =>
      Effect.async<void>((resume) => {
        const check = () => {
          if (!holds()) return
          waiters.delete(check)
          resume(Effect.void)
        }
        waiters.add(check)
        check()
        return Effect.sync(() => waiters.delete(check))
      }),
    changed: () => {
      for (const waiter of [...waiters]) waiter()
    }
  }
}
