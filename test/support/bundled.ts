import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Esbuild from "esbuild"
import { temporaryFolder } from "./temporaryFolder.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** A program of the tests as one file of JavaScript, since the Node.js that we support starts no other. */
export const bundled = (source: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const file = Path.join(folder, "program.cjs")
    yield* Effect.promise(() =>
      Esbuild.build({
        absWorkingDir: root,
        entryPoints: [source],
        bundle: true,
        platform: "node",
        target: "node20",
        format: "cjs",
        outfile: file,
        external: ["better-sqlite3"],
        logLevel: "warning"
      })
    )
    // Where what is not bundled is found.
    yield* Effect.promise(() => Fs.symlink(Path.join(root, "node_modules"), Path.join(folder, "node_modules")))
    return file
  })
