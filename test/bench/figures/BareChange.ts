/** The least that a change of a file costs on this disk: its bytes are written anew and put in place, and nothing else. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

/** What is handed to the system as one piece. */
const BLOCK_BYTES = 32 * 1024

/** Makes a file of so many bytes in a folder; each call changes it and says how long that took, in milliseconds. */
export const make = (folder: string, bytes: number): (() => Promise<number>) => {
  const blocks = Array.from({ length: Math.ceil(bytes / BLOCK_BYTES) }, () => Buffer.alloc(BLOCK_BYTES, "a"))
  const file = Path.join(folder, "bare")
  return async () => {
    const started = performance.now()
    const written = await Fs.open(`${file}.tmp`, "w", 0o600)
    await written.writev(blocks)
    await written.sync()
    await written.close()
    await Fs.rename(`${file}.tmp`, file)
    const parent = await Fs.open(folder, "r")
    await parent.sync()
    await parent.close()
    return performance.now() - started
  }
}
