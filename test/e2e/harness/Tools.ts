/**
 * Programs of the operating system that a test needs. Where one is missing, the test is skipped and its title says why;
 * under CI nothing is skipped: it fails.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

const searchPath = (): ReadonlyArray<string> => [
  ...postgresFolders(),
  ...(process.env["PATH"] ?? "").split(Path.delimiter),
  "/usr/sbin",
  "/sbin"
]

/** Debian keeps PostgreSQL's programs here, one folder a version; what it has in PATH is a wrapper, for the client only. */
const postgresFolders = (): ReadonlyArray<string> => {
  const versions = "/usr/lib/postgresql"
  if (!Fs.existsSync(versions)) return []
  return Fs.readdirSync(versions)
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => Path.join(versions, version, "bin"))
}

const executable = (file: string): boolean => {
  try {
    Fs.accessSync(file, Fs.constants.X_OK)
    return Fs.statSync(file).isFile()
  } catch {
    return false
  }
}

/** The absolute path of a tool, or undefined. */
export const find = (tool: string): string | undefined => {
  for (const folder of searchPath()) {
    if (folder !== "" && executable(Path.join(folder, tool))) return Path.join(folder, tool)
  }
  return undefined
}

/** The absolute path of a tool that must be there. */
export const path = (tool: string): string => {
  const found = find(tool)
  if (found === undefined) throw new Error(`${tool} is not installed; this test needs it`)
  return found
}

const mustRun = (process.env["CI"] ?? "") !== ""

/** Whether a test that needs these tools is to be skipped here, and what to add to its title then. */
export const missing = (...tools: ReadonlyArray<string>): { readonly skip: boolean; readonly notice: string } => {
  const absent = tools.filter((tool) => find(tool) === undefined)
  const skip = absent.length > 0 && !mustRun
  return { skip, notice: skip ? ` (skipped: ${absent.join(", ")} not installed)` : "" }
}
