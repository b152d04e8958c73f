/** The program `telad`, as bin/telad starts it. */
import * as Program from "../Program.ts"
import { root } from "./Root.ts"

Program.main(root)
