import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Files from "../../src/store/internal/files.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

/** While the scope lasts, every disk is full. */
const fullDisk = (folder: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const handle = await Fs.open(folder, "r")
      await handle.close()
      const full = Object.assign(new Error("no space"), { code: "ENOSPC" })
      return vi.spyOn(Object.getPrototypeOf(handle), "sync").mockRejectedValue(full)
    }),
    (spy) => Effect.sync(() => spy.mockRestore())
  )

describe("Files", () => {
  it.scoped.each([
    ["createOnce", Files.createOnce],
    ["replace", Files.replace]
  ] as const)("%s leaves nothing behind when the disk is full", ([, write]) =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* fullDisk(folder)
      const problem = yield* Effect.flip(write(Path.join(folder, "identity.key"), "secret"))
      assert.deepInclude(problem, { code: "ENOSPC", problem: "no space left on the device" })
      assert.deepStrictEqual(yield* Effect.promise(() => Fs.readdir(folder)), [])
    })
  )
})
