/**
 * Keeps the garbage of the data path cheap. Every record leaves a few 64 KiB buffers behind; V8 sees them as pressure from
 * outside its heap and answers with full collections, each of which walks everything the program holds: measured, a third
 * of a relay's time and pauses of tens of milliseconds. The buffers die young, so a minor collection every few megabytes
 * frees them in less than a millisecond, and the full ones stay away.
 *
 * A setting of the whole process, so it is for programs to ask for; a library that uses our carriers is left alone.
 */
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import { SHORT_LIVED_BYTES } from "../protocol/Limits.ts"

let enabled = false
let collect: ((options: { readonly type: "minor" }) => void) | undefined
let moved = 0

/** Node gives `gc` to contexts made after the flag is set; asked for only once data flows, as it costs a millisecond. */
const expose = (): typeof collect => {
  V8.setFlagsFromString("--expose-gc")
  const gc: unknown = Vm.runInNewContext("gc")
  return typeof gc === "function" ? (options) => void gc(options) : () => {}
}

/** From now on the carriers of this process pace minor collections. */
export const enable = (): void => {
  enabled = true
}

/** A carrier has moved so many bytes. */
export const note = (bytes: number): void => {
  moved += bytes
  if (moved < SHORT_LIVED_BYTES || !enabled) return
  moved = 0
  collect ??= expose()
  collect?.({ type: "minor" })
}
