/**
 * V8's young heap, emptied in turns of the event loop that do nothing else. V8 collects in whichever turn fills it, which
 * then takes a millisecond longer; where work is cut into turns ({@link file://./Slices.ts}), a collection comes between two
 * of them instead, so that neither holds up others for both.
 */
import { getHeapSpaceStatistics } from "node:v8"
import { runInNewContext } from "node:vm"
import { TURN_ALLOCATES } from "../protocol/Limits.ts"

/** V8's own function; it is to be had when V8 was told `--expose-gc` before (`bin/launch.mjs`). */
type Collector = (options: { readonly type: "minor" }) => void

const isCollector = (found: unknown): found is Collector => typeof found === "function"

let collector: Collector | undefined

/** From now on {@link collectIfFull} collects, where V8 lets it. A process that never asks for it has V8's own ways. */
export const collectApart = (): void => {
  // It is given to contexts that are made after the flag was set.
  const found: unknown = runInNewContext("globalThis.gc")
  if (isCollector(found)) collector = found
}

/** Collects if the next turn might fill the young heap, and says whether it did: then that turn is to be another one. */
export const collectIfFull = (): boolean => {
  if (collector === undefined) return false
  const space = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")
  if (space === undefined || space.space_available_size > TURN_ALLOCATES) return false
  collector({ type: "minor" })
  return true
}
