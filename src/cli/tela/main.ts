/** The program `tela`, as bin/tela starts it. */
import * as Program from "../Program.ts"
import { root } from "./Root.ts"

Program.main(root)
