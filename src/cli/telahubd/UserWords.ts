/**
 * Flags and positionals of `telahubd user`, and how their words are read.
 */
import * as Effect from "effect/Effect"
import { ANY_MACHINE, grantsOn, type Snapshot } from "../../policy/Identity.ts"
import { isNewName, nameRule } from "../../protocol/Name.ts"
import { quoted } from "../../protocol/Printable.ts"
import type { Given } from "../Command.ts"
import { WrongUsage } from "../Failure.ts"
import * as Flags from "../Flags.ts"

export const json = Flags.toggle("json", "print JSON")
export const quiet = Flags.toggle("quiet", "print the token alone")
export const role = Flags.choice({
  name: "role",
  placeholder: "ROLE",
  description: "user, admin or owner",
  choices: ["user", "admin", "owner"],
  otherwise: "user",
  empty: "user"
})
export const force = Flags.toggle("force", "change the file although it is older than its record")

export const identity = Flags.argument("id")
export const machine = Flags.argument("machine")
export const permissions = Flags.optionalArgument("permissions")

/** A name of an identity or machine. */
export const readName = (given: Given, positional: Flags.Positional<string>): Effect.Effect<string, WrongUsage> =>
  Effect.filterOrFail(
    given.word(positional),
    (text) => text !== "",
    () => new WrongUsage({ message: `<${positional.placeholder}>: "" is no name` })
  )

const notNew = (positional: Flags.Positional<string>, name: string) =>
  new WrongUsage({
    message: `<${positional.placeholder}>: ${quoted(name)} is no name; it ${nameRule}`
  })

/** The name of an identity that is to be made. */
export const readNewId = (given: Given): Effect.Effect<string, WrongUsage> =>
  Effect.filterOrFail(
    readName(given, identity),
    (id) => isNewName(id) && id !== ANY_MACHINE,
    (id) => notNew(identity, id)
  )

/** The name of a machine that permissions are given on: one that has some already, `*`, or one that may yet come. */
export const readMachine = (given: Given, snapshot: Snapshot): Effect.Effect<string, WrongUsage> =>
  Effect.filterOrFail(
    readName(given, machine),
    (name) => name === ANY_MACHINE || isNewName(name) || grantsOn(snapshot, name) !== undefined,
    (name) => notNew(machine, name)
  )
