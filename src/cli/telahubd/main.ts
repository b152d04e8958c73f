/** The program `telahubd`, as bin/telahubd starts it. */
import * as Program from "../Program.ts"
import { root } from "./Root.ts"

Program.main(root)
