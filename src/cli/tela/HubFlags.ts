/**
 * The flags by which the commands of `tela` say which hub, which machine, and as whom.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as HubUrl from "../../protocol/HubUrl.ts"
import type { Given } from "../Command.ts"
import { WrongUsage } from "../Failure.ts"
import * as Flags from "../Flags.ts"

export const hub = Flags.text({
  name: "hub",
  placeholder: "URL",
  description: "the hub, such as wss://hub.example.com",
  env: "TELA_HUB"
})

export const machine = Flags.text({
  name: "machine",
  placeholder: "NAME",
  description: "the machine to reach",
  env: "TELA_MACHINE"
})

export const token = Flags.secret({
  name: "token",
  placeholder: "TOKEN",
  description: "your token at the hub",
  env: "TELA_TOKEN"
})

export const json = Flags.toggle("json", "print JSON")

/** A token, and what to say about its origin when it is refused. */
export interface Credential {
  readonly token: Redacted.Redacted | undefined
  readonly origin: string
}

/** The hub's address, checked. */
export const readHub = (given: Given): Effect.Effect<string, WrongUsage> =>
  Effect.flatMap(given.required(hub), (text) =>
    Either.mapLeft(HubUrl.parse(text), (problem) => new WrongUsage({ message: `-hub: ${problem}` }))
  )

/** The token, if there is one. */
export const readToken = (given: Given): Effect.Effect<Credential, WrongUsage> =>
  Effect.map(
    given.flag(token),
    Option.match({
      onNone: () => ({ token: undefined, origin: "no token was given: use -token or set TELA_TOKEN" }),
      onSome: ({ source, value }) => ({ token: value, origin: `the token came from ${source}` })
    })
  )
