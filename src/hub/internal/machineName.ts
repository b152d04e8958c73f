/** Which machine names the hub takes from the wire. */
import { ANY_MACHINE } from "../../policy/Identity.ts"
import { isDots, isInherited } from "../../protocol/Control.ts"

/** Deployed agents may use any text; only what would break a list, a log, an object's keys, an address or the meaning of `*` is left out. */
export const isMachineName = (name: string): boolean =>
  /^[^\p{Cc}]{1,128}$/u.test(name) && name !== ANY_MACHINE && !isInherited(name) && !isDots(name)
