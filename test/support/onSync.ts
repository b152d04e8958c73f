/** Moments in the middle of a write, for tests: when a file or a folder is brought to the disk. */
import Fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import { vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** While the scope lasts, nothing is synced, and `during` runs in place of it; with how often it did before. */
export const onSync = (during: (before: number) => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        let before = 0
        const spy = vi.spyOn(Fs, "fsync").mockImplementation((_open, done) => {
          during(before++)
          setImmediate(done, null)
        })
        syncBuiltinESMExports()
        return spy
      }),
      (spy) =>
        Effect.sync(() => {
          spy.mockRestore()
          syncBuiltinESMExports()
        })
    )
  )
