/**
 * Flags and positionals of `telahubd user`, and how their words are read.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import {
  ANY_MACHINE,
  grantsOn,
  type MachinePermission,
  machinePermissions,
  type Snapshot
} from "../../policy/Identity.ts"
import * as Duration from "../../protocol/Duration.ts"
import { GRANT_SERVICES } from "../../protocol/Limits.ts"
import { isNewName, nameRule } from "../../protocol/Name.ts"
import { didYouMean } from "../../protocol/Nearest.ts"
import { namedInGrant } from "../../protocol/Service.ts"
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
  otherwise: "user"
})
export const services = Flags.text({
  name: "services",
  placeholder: "LIST",
  description: "limit connect to services: ssh,postgres"
})
export const expires = Flags.text({
  name: "expires",
  placeholder: "WHEN",
  description: "when it ends: 2h, 30d, 2027-01-31T12:00:00Z"
})

export const force = Flags.toggle("force", "change the file although it is older than its record")

export const identity = Flags.argument("id")
export const machine = Flags.argument("machine")
export const someMachine = Flags.optionalArgument("machine")
export const permissions = Flags.optionalArgument("permissions")

/** A name of an identity or machine. */
export const readName = (given: Given, positional: Flags.Positional<string>): Effect.Effect<string, WrongUsage> =>
  Effect.filterOrFail(
    given.word(positional),
    (text) => text !== "",
    () => new WrongUsage({ message: `<${positional.placeholder}>: "" is no name` })
  )

const notNew = (positional: Flags.Positional<string>, name: string) =>
  new WrongUsage({ message: `<${positional.placeholder}>: ${JSON.stringify(name)} is no name; it ${nameRule}` })

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

const readList = (text: string, what: string): Effect.Effect<ReadonlyArray<string>, WrongUsage> => {
  const parts = [...new Set(text.split(",").map((part) => part.trim()))]
  return parts.includes("")
    ? new WrongUsage({ message: `${what}: ${JSON.stringify(text)} has an empty part; write a,b` })
    : Effect.succeed(parts)
}

/** When something is to end, in milliseconds since the epoch; undefined when nothing was said. */
export const readExpiry = (given: Given): Effect.Effect<number | undefined, WrongUsage> =>
  Effect.gen(function* () {
    const text = Option.getOrUndefined(yield* given.flag(expires))
    if (text === undefined) return undefined
    const at = Duration.parseExpiry(text, yield* Clock.currentTimeMillis)
    if (Either.isLeft(at)) return yield* new WrongUsage({ message: `-expires: ${at.left}` })
    return at.right
  })

const isPermission = (word: string): word is MachinePermission => machinePermissions.some((name) => name === word)

/** The permissions that are named; `connect` when none is. */
export const readPermissions = (given: Given): Effect.Effect<ReadonlyArray<MachinePermission>, WrongUsage> =>
  Effect.gen(function* () {
    const text = Option.getOrElse(yield* given.word(permissions), () => "connect")
    const words = yield* readList(text, "<permissions>")
    const unknown = words.find((word) => !isPermission(word))
    if (unknown === undefined) return words.filter(isPermission)
    return yield* new WrongUsage({
      message:
        `<permissions>: "${unknown}" is none; give some of ${machinePermissions.join(",")}` +
        didYouMean(unknown, machinePermissions)
    })
  })

/** The services to which `connect` is limited; undefined for all. */
export const readServices = (
  given: Given,
  granted: ReadonlyArray<MachinePermission>
): Effect.Effect<ReadonlyArray<string> | undefined, WrongUsage> =>
  Effect.gen(function* () {
    const text = Option.getOrUndefined(yield* given.flag(services))
    if (text === undefined) return undefined
    const names = yield* readList(text, "-services")
    if (!granted.includes("connect")) {
      return yield* new WrongUsage({ message: "-services limits connect, which is not among the permissions" })
    }
    if (names.length > GRANT_SERVICES) {
      return yield* new WrongUsage({ message: `-services: more than ${GRANT_SERVICES}; leave it out for all` })
    }
    return names.map(namedInGrant)
  })
