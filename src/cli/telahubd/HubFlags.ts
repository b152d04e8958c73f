/**
 * The flags of `telahubd`, and the one rule by which every subcommand finds the hub's file.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Token from "../../crypto/Token.ts"
import * as HubFile from "../../store/HubFile.ts"
import * as Paths from "../../store/Paths.ts"
import type { Given } from "../Command.ts"
import { WrongUsage } from "../Failure.ts"
import * as Flags from "../Flags.ts"
import { Shell } from "../Shell.ts"

export const config = Flags.text({ name: "config", placeholder: "FILE", description: "telahubd.yaml" })

export const host = Flags.text({
  name: "host",
  placeholder: "ADDRESS",
  description: "address to listen on, default all",
  env: "TELAHUBD_HOST"
})

export const port = Flags.integer({
  name: "port",
  placeholder: "PORT",
  description: "port to listen on, default 80",
  env: "TELAHUBD_PORT",
  least: 0,
  most: 65_535
})

export const name = Flags.text({
  name: "name",
  placeholder: "NAME",
  description: "what people call the hub",
  env: "TELAHUBD_NAME"
})

/** Where the hub's file is, or will be. */
export const locate = (given: Given): Effect.Effect<HubFile.Located, WrongUsage, Shell> =>
  Effect.gen(function* () {
    const shell = yield* Shell
    const configFlag = yield* given.flag(config)
    return yield* HubFile.locate({ configFlag, cwd: shell.cwd, systemDir: Paths.systemFolder(shell.env) })
  })

/** The owner's token that TELA_OWNER_TOKEN gives to a first start. */
export const ownerToken: Effect.Effect<Option.Option<Redacted.Redacted>, WrongUsage, Shell> = Effect.flatMap(
  Shell,
  ({ env: { TELA_OWNER_TOKEN: given = "" } }) => {
    if (given === "") return Effect.succeedNone
    return Token.format.test(given)
      ? Effect.succeedSome(Redacted.make(given))
      : new WrongUsage({ message: Flags.notAToken("TELA_OWNER_TOKEN") })
  }
)
