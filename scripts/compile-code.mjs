// Runs a program and, at its end, writes the code that V8 has compiled of it: compile-code.mjs PROGRAM CODE ARGUMENTS...
import { renameSync, writeFileSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { load, v8Defaults } from "../bin/launch.mjs"

const [node, , program, code, ...args] = process.argv
process.argv = [node, program, ...args]
const script = await load(program)
process.on("exit", () => {
  const temporary = `${code}.${process.pid}.tmp`
  // It will be read under these.
  setFlagsFromString(v8Defaults)
  writeFileSync(temporary, script.createCachedData())
  renameSync(temporary, code)
})
