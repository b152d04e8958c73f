/** Moments in the middle of a write, for tests: when a file or a folder is brought to the disk. */
import * as Fs from "node:fs/promises"
import { vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** While the scope lasts, nothing is synced, and `during` runs in place of it; with how often it did before. */
export const onSync = (folder: string, during: (before: number) => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const handle = await Fs.open(folder, "r")
        await handle.close()
        let before = 0
        return vi.spyOn(Object.getPrototypeOf(handle), "sync").mockImplementation(async () => during(before++))
      }),
      (spy) => Effect.sync(() => spy.mockRestore())
    )
  )
