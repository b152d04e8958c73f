import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A new folder, readable by its owner only; removed with everything in it when the scope closes. */
export const temporaryFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "tela-test-"))),
  (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true, maxRetries: 3 }))
)
