import * as V8 from "node:v8"
import * as Vm from "node:vm"

V8.setFlagsFromString("--expose-gc")
const gc: () => void = Vm.runInNewContext("gc")

/** Bytes of buffers outside of the heap that are alive. */
export const buffers = (): number => {
  gc()
  gc()
  return process.memoryUsage().arrayBuffers
}
