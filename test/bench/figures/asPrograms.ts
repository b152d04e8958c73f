/** What V8 is told where programs are measured within a process of the benchmarks: the same as in them. */
import { setFlagsFromString } from "node:v8"
import { v8Flags } from "../../../bin/launch.mjs"

setFlagsFromString(v8Flags)
