/** What identities and machines may be called when they are new. Those that exist keep the names they have. */
import * as Schema from "effect/Schema"
import { MachineName } from "./Control.ts"
import { printable } from "./Printable.ts"

const isName = Schema.is(MachineName)

/** Whether a new identity or machine may be called this. */
export const isNewName = (text: string): boolean => isName(text) && printable(text) === text

/** What {@link isNewName} asks for, as it goes on after a name. */
export const nameRule =
  "must be 1 to 128 printable characters without spaces and slashes, and none of ., .. and words like __proto__"
