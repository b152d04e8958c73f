import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"

/** A folder that goes away with the scope. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "tela-test-"))),
  (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
)
