// Runs a program and, at its end, writes the code that V8 has compiled of it: compile-code.mjs PROGRAM CODE ARGUMENTS...
import { renameSync, writeFileSync } from "node:fs"
import { load } from "../bin/launch.mjs"

const [node, , program, code, ...args] = process.argv
process.argv = [node, program, ...args]
const script = await load(program)
process.on("exit", () => {
  const temporary = `${code}.${process.pid}.tmp`
  writeFileSync(temporary, script.createCachedData())
  renameSync(temporary, code)
})
