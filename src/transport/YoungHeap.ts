/**
 * V8's young heap, emptied in turns of the event loop that do nothing else. V8 collects in whichever turn fills it, which
 * then takes a millisecond longer; where work is cut into turns ({@link file://./Slices.ts}), a collection comes between
 * two of them instead, so that nobody waits for both. For the whole process, and asked for by a program, not by a library.
 */
import { getHeapSpaceStatistics } from "node:v8"
import { runInNewContext } from "node:vm"
import { YOUNG_HEAP_USED } from "../protocol/Limits.ts"

/** V8's own function; it is to be had when V8 was told `--expose-gc` before (`bin/launch.mjs`). */
type Collector = (options: { readonly type: "minor" }) => void

const isCollector = (found: unknown): found is Collector => typeof found === "function"

let collector: Collector | undefined

/**
 * Collects what was made until now, and from now on with {@link collectIfUsed}, where V8 lets it. A process that never
 * asks for this has V8's own ways.
 */
export const collectApart = (): void => {
  // It is given to contexts that are made after the flag was set.
  const found: unknown = runInNewContext("globalThis.gc")
  if (!isCollector(found)) return
  collector = found
  // What outlives two is old, and no longer looked at.
  for (let times = 0; times < 2; times++) collector({ type: "minor" })
}

/** Collects if much of the young heap is used, and says whether it did: then the next piece of work is for another turn. */
export const collectIfUsed = (): boolean => {
  if (collector === undefined) return false
  const space = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")
  if (space === undefined || space.space_used_size < YOUNG_HEAP_USED) return false
  collector({ type: "minor" })
  return true
}
