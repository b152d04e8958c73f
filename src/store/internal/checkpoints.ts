/**
 * Moves what was written from SQLite's log into its database, away from the event loop: that waits for the disk, for
 * tens of milliseconds where it is slow. A thread of its own does it and ends.
 */
import { createRequire } from "node:module"
import { Worker } from "node:worker_threads"
import * as Effect from "effect/Effect"

/**
 * What the thread runs. Most is moved while others write; the rest without them, or a log that is always written to would
 * never begin anew. They try again meanwhile, and wait for nothing.
 */
const script = `
const { workerData } = require("node:worker_threads")
const Sqlite = require(workerData.sqlite)
const database = new Sqlite(workerData.file, { timeout: 1000, fileMustExist: true })
database.pragma("wal_checkpoint(PASSIVE)")
database.pragma("wal_checkpoint(RESTART)")
database.close()
`

/** Does it once; succeeds when the thread has ended, and fails with what it met. */
export const checkpoint = (file: string): Effect.Effect<void, unknown> =>
  Effect.tryPromise(
    () =>
      new Promise<void>((resolve, reject) => {
        const sqlite = createRequire(import.meta.url).resolve("better-sqlite3")
        const worker = new Worker(script, { eval: true, workerData: { file, sqlite } })
        worker.once("error", reject)
        worker.once("exit", () => resolve())
      })
  )
