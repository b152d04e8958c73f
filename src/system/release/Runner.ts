/**
 * Who runs a daemon, as far as its files tell: it makes a key for itself, which nobody else may read. An installation that
 * this user cannot write is put in force by others, without a trial: nobody could count its starts, nor end it.
 */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"

/** The mode bits by which the owner of a folder, or others, may change what is in it. */
const OWNER_WRITES = 0o200
const OTHERS_WRITE = 0o022

/**
 * The number of the user who runs a daemon, by its key file, when that user cannot write the folder; undefined when they can,
 * or when it is not known. A group that may write counts as one that they are in.
 */
export const withoutRights = (folder: string, keyFile: string): Effect.Effect<number | undefined> =>
  Effect.promise(async () => {
    if (process.platform === "win32") return undefined
    try {
      const [home, { uid }] = await Promise.all([Fs.stat(folder), Fs.stat(keyFile)])
      const may = uid === 0 || (home.mode & (home.uid === uid ? OWNER_WRITES : OTHERS_WRITE)) !== 0
      return may ? undefined : uid
    } catch {
      return undefined
    }
  })
