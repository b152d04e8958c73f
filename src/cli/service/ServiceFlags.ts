/**
 * Flags of `telad service` and `telahubd service`, and the service that they mean.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { quoted } from "../../protocol/Printable.ts"
import { instanceRule, isInstance, type ServiceProgram } from "../../system/service/Definition.ts"
import type { ServiceError } from "../../system/service/ServiceError.ts"
import * as Services from "../../system/service/Services.ts"
import type { Service } from "../../system/service/Services.ts"
import type { Given } from "../Command.ts"
import { WrongUsage } from "../Failure.ts"
import * as Flags from "../Flags.ts"
import { Shell } from "../Shell.ts"

export const user = Flags.toggle("user", "a service of this user, not of the system")
export const json = Flags.toggle("json", "print JSON")
export const dryRun = Flags.toggle("dry-run", "show what would be done, and do nothing")

export const name = Flags.text({
  name: "name",
  placeholder: "NAME",
  description: "which instance, if there is more than one"
})

/** The flags by which a service is named. */
export const naming: ReadonlyArray<Flags.Flag<unknown>> = [user, name]

/** The service that the command line means. */
export const read = (given: Given, program: ServiceProgram): Effect.Effect<Service, WrongUsage | ServiceError, Shell> =>
  Effect.gen(function* () {
    const { env } = yield* Shell
    const scope = (yield* given.flag(user)) ? "user" : "system"
    const instance = Option.getOrUndefined(yield* given.flag(name))
    if (instance !== undefined && !isInstance(instance)) {
      return yield* new WrongUsage({ message: `-name: ${quoted(instance)} is no name; it ${instanceRule}` })
    }
    return yield* Services.find({ program, instance, scope, env, platform: process.platform })
  })
