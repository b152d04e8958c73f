/** What identities are called that come of pairing codes. */
import * as Crypto from "node:crypto"
import type { PairCode } from "../../store/PairCodes.ts"

/** Characters of a machine's name that an agent's has of it: with what follows, it is a name too. */
const MACHINE_CHARACTERS = 110

/** Without letters and digits that are taken for each other. */
const ALPHABET = "abcdefghjkmnpqrstvwxyz23456789"

const suffix = (): string =>
  Array.from({ length: 4 }, () => ALPHABET.charAt(Crypto.randomInt(ALPHABET.length))).join("")

/** A name that is free: the machine's for an agent, one of the day for a person. */
export const pairedId = (code: PairCode, now: number, isFree: (id: string) => boolean): string => {
  const day = new Date(now).toISOString().slice(0, 10).replaceAll("-", "")
  const agent = `${(code.machines[0] ?? "").slice(0, MACHINE_CHARACTERS)}-agent`
  for (let nth = 1; ; nth++) {
    const ofAgent = nth === 1 ? agent : `${agent}-${nth}`
    const id = code.type === "register" ? ofAgent : `paired-${code.role}-${day}-${suffix()}`
    if (isFree(id)) return id
  }
}
