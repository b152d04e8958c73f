/**
 * The words of a grant, which `tela admin` and `telahubd user` take alike: permissions, services, and when it ends.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { type MachinePermission, machinePermissions } from "../policy/Identity.ts"
import * as Duration from "../protocol/Duration.ts"
import { GRANT_SERVICES } from "../protocol/Limits.ts"
import { didYouMean } from "../protocol/Nearest.ts"
import { quoted } from "../protocol/Printable.ts"
import type { Given } from "./Command.ts"
import { WrongUsage } from "./Failure.ts"
import * as Flags from "./Flags.ts"

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

/** The parts of a comma list, of which none is empty; `what` names it in the sentence of an error. */
export const readList = (text: string, what: string): Effect.Effect<ReadonlyArray<string>, WrongUsage> => {
  const parts = [...new Set(text.split(",").map((part) => part.trim()))]
  return parts.includes("")
    ? new WrongUsage({ message: `${what}: ${quoted(text)} has an empty part; write a,b` })
    : Effect.succeed(parts)
}

const isPermission = (word: string): word is MachinePermission => machinePermissions.some((name) => name === word)

/** Permissions on a machine. Deployed hubs pass over a word that they do not know, so it stops here. */
export const readPermissions = (text: string): Effect.Effect<ReadonlyArray<MachinePermission>, WrongUsage> =>
  Effect.gen(function* () {
    const words = yield* readList(text, "<permissions>")
    const unknown = words.find((word) => !isPermission(word))
    if (unknown === undefined) return words.filter(isPermission)
    return yield* new WrongUsage({
      message:
        `<permissions>: ${quoted(unknown)} is no permission; give some of ${machinePermissions.join(",")}` +
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
    return names
  })

/** When something is to end, in milliseconds since the epoch; undefined when nothing was said. */
export const readExpiry = (
  given: Given,
  flag: Flags.OptionalFlag<string>
): Effect.Effect<number | undefined, WrongUsage> =>
  Effect.gen(function* () {
    const text = Option.getOrUndefined(yield* given.flag(flag))
    if (text === undefined) return undefined
    const at = Duration.parseExpiry(text, yield* Clock.currentTimeMillis)
    if (Either.isLeft(at)) return yield* new WrongUsage({ message: `-${flag.info.name}: ${at.left}` })
    return at.right
  })
