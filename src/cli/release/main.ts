/** The tool that makes releases, as scripts/release.mjs starts it. */
import * as Program from "../Program.ts"
import { root } from "./Root.ts"

Program.main(root)
