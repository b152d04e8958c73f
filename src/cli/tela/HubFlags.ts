/**
 * The flags by which the commands of `tela` say which hub, which machine, and as whom.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { ConnectError } from "../../client/ConnectError.ts"
import * as KeyPair from "../../crypto/KeyPair.ts"
import * as HubUrl from "../../protocol/HubUrl.ts"
import type { Given } from "../Command.ts"
import { Failed, WrongUsage } from "../Failure.ts"
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

/** A token, and where it came from. */
export interface Credential {
  readonly token: Redacted.Redacted | undefined
  readonly source: string | undefined
}

/** The hub's address, checked. */
export const readHub = (given: Given): Effect.Effect<string, WrongUsage> =>
  Effect.flatMap(given.required(hub), (text) =>
    Either.mapLeft(HubUrl.parse(text), (problem) => new WrongUsage({ message: `-hub: ${problem}` }))
  )

/** A fingerprint, checked. */
export const readFingerprint = (text: string): Effect.Effect<string, WrongUsage> =>
  KeyPair.isFingerprint(text)
    ? Effect.succeed(text)
    : new WrongUsage({ message: `-fingerprint: "${text}" is none; give SHA256:... as \`telad fingerprint\` prints it` })

/** The token, if there is one. */
export const readToken = (given: Given): Effect.Effect<Credential, WrongUsage> =>
  Effect.map(given.flag(token), (found) => ({
    token: Option.getOrUndefined(Option.map(found, ({ value }) => value)),
    source: Option.getOrUndefined(Option.map(found, ({ source }) => source))
  }))

/** The sentence of a client's error; a refused token is named by where it came from. */
export const explain =
  ({ source }: Credential) =>
  (error: ConnectError): Failed => {
    const origin = error.kind === "denied" && source !== undefined ? `; the token came from ${source}` : ""
    return new Failed({ message: `${error.reason}${origin}` })
  }
