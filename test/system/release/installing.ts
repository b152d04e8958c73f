/**
 * Installs an archive, and stops for ever at one step, having said so: to be killed there. Arguments: the home, the
 * archive, its version, the step.
 */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"
import * as Installation from "../../../src/system/release/Installation.ts"
import { Steps } from "../../../src/system/release/Steps.ts"
import { machine } from "../../../src/system/release/Update.ts"
import { stoppingAt } from "../stopping.ts"

const [home = "", archive = "", version = "", stop = ""] = process.argv.slice(2)

const { install } = Installation.make(home, { program: "telad", ...machine })
Effect.runFork(Effect.provideService(install(Fs.readFileSync(archive), version), Steps, stoppingAt(stop)))
