/** A rename that counts: on disk when it is done, whatever becomes of the machine. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import type * as Effect from "effect/Effect"
import * as Files from "./files.ts"

/** Gives a file another name in its folder, over what has that name. Windows and some file systems cannot sync a folder. */
export const renameSynced = (from: string, to: string): Effect.Effect<void, Files.FileProblem> =>
  Files.attempt(from, async () => {
    await Fs.rename(from, to)
    const folder = await Fs.open(Path.dirname(to), "r").catch(() => undefined)
    if (folder === undefined) return
    try {
      await folder.sync().catch(() => {})
    } finally {
      await folder.close()
    }
  })
