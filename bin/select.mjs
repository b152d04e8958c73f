// The launcher of a program that is installed from a release: starts the version that is in force. It stays when versions
// come and go (src/system/release/Pointer.ts has the layout), so it is small, and it is where a new version ends that
// cannot even start: the previous one is put in force again.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

/** The same as TRIAL_STARTS in src/protocol/Limits.ts, which is not to be loaded here; a test compares them. */
export const TRIAL_STARTS = 2

const isAlive = (pid) => {
  // In a container, a process that has crashed had the number of this one.
  if (pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === "EPERM"
  }
}

const launcherOf = (home, folder) => join(home, "versions", folder, "bin/launch.mjs")

/** A folder is called by its version, and something that no other folder has. */
const versionOf = (folder) => folder.replace(/-[0-9a-f]{8}$/, "")

const canGoBack = (home, { previous, trial }) =>
  trial !== undefined && previous !== undefined && existsSync(launcherOf(home, previous))

/** Puts the previous version in force again. Where nothing can be written, it at least runs this time. */
const goBack = (home, { folder, previous }, reason) => {
  const file = join(home, "current.json")
  const temporary = `${file}.${process.pid}.tmp`
  try {
    const descriptor = openSync(temporary, "w", 0o644)
    writeFileSync(descriptor, `${JSON.stringify({ folder: previous, failed: { folder, reason } })}\n`)
    fsyncSync(descriptor)
    closeSync(descriptor)
    renameSync(temporary, file)
  } catch {
    // Said by whatever runs next, which cannot write there either.
  }
  process.stderr.write(`${versionOf(folder)} was rolled back to ${versionOf(previous)}: ${reason}\n`)
  return previous
}

/** The folder of the version to start. One on trial that was started so often, and runs no more, came to nothing. */
export const choose = (home, alive = isAlive) => {
  const pointer = JSON.parse(readFileSync(join(home, "current.json"), "utf8"))
  const { folder, trial } = pointer
  const isOver = trial !== undefined && trial.starts >= TRIAL_STARTS && (trial.pid === undefined || !alive(trial.pid))
  if (!isOver || !canGoBack(home, pointer)) return { pointer, folder }
  const reason = `it was started ${trial.starts} times and never became healthy`
  return { pointer, folder: goBack(home, pointer, reason) }
}

const start = async (home, folder, program) => {
  const { launch } = await import(pathToFileURL(launcherOf(home, folder)).href)
  await launch(program)
}

/** Starts the program of an installation: the one that this file is a part of. */
export const select = async (program, home = fileURLToPath(new URL("..", import.meta.url))) => {
  const { folder, pointer } = choose(home)
  try {
    await start(home, folder, program)
  } catch (error) {
    if (folder !== pointer.folder || !canGoBack(home, pointer)) throw error
    await start(home, goBack(home, pointer, `it cannot be loaded: ${String(error?.message).split("\n")[0]}`), program)
  }
}
