/** What a process holds in memory, as Linux says (proc(5)). */
import * as Fs from "node:fs"

/** Whether this system can tell. */
export const isKnown: boolean = Fs.existsSync("/proc/self/status")

/** Resident set size of a process, in bytes. */
export const resident = (pid: number): number => {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(Fs.readFileSync(`/proc/${pid}/status`, "utf8"))
  if (line === null) throw new Error(`process ${pid} has no VmRSS`)
  return Number(line[1]) * 1024
}

/** Whether a process exists, zombies not counted. */
export const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+[ZX]/m.test(Fs.readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

/** The children of a process, and theirs. */
export const descendants = (pid: number): ReadonlyArray<number> => {
  const parents = new Map<number, number>()
  for (const entry of Fs.readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const parent = /^PPid:\s+(\d+)$/m.exec(Fs.readFileSync(`/proc/${entry}/status`, "utf8"))
      if (parent !== null) parents.set(Number(entry), Number(parent[1]))
    } catch {
      // gone between the listing and the reading
    }
  }
  const found: Array<number> = []
  const visit = (of: number) => {
    for (const [child, parent] of parents) {
      if (parent === of) {
        found.push(child)
        visit(child)
      }
    }
  }
  visit(pid)
  return found
}
