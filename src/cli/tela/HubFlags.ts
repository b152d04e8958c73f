/**
 * The flags by which the commands of `tela` say which hub, which machine, and as whom.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { ConnectError } from "../../client/ConnectError.ts"
import type { HubError } from "../../client/HubError.ts"
import * as KeyPair from "../../crypto/KeyPair.ts"
import * as HubUrl from "../../protocol/HubUrl.ts"
import type { Given } from "../Command.ts"
import { Failed, type Failure, WrongUsage } from "../Failure.ts"
import * as Flags from "../Flags.ts"
import type { Shell } from "../Shell.ts"
import * as Stores from "../Stores.ts"

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

export const token = Flags.token({
  name: "token",
  placeholder: "TOKEN",
  description: "your token at the hub",
  env: "TELA_TOKEN"
})

export const json = Flags.toggle("json", "print JSON")

/** The hub as a positional, for the commands that keep something of it. */
export const address = Flags.argument("hub")

/** The hub that the positional names, as it is dialled. */
export const readAddress = (given: Given): Effect.Effect<string, WrongUsage> =>
  Effect.flatMap(given.word(address), (text) => parseHub(text, "<hub>"))

/** A token, and where it came from. */
export interface Credential {
  readonly token: Redacted.Redacted | undefined
  readonly source: string | undefined
}

/** The hub that `-hub` names, as it is dialled. */
export const readHub = (given: Given, flag: typeof hub = hub): Effect.Effect<string, WrongUsage> =>
  Effect.flatMap(given.required(flag), (text) => parseHub(text, "-hub"))

/** A hub's address, checked; `what` names it in the sentence of an error. */
export const parseHub = (text: string, what: string): Effect.Effect<string, WrongUsage> =>
  Either.mapLeft(HubUrl.parse(text), (problem) => new WrongUsage({ message: `${what}: ${problem}` }))

/** A fingerprint, checked. */
export const readFingerprint = (text: string): Effect.Effect<string, WrongUsage> =>
  KeyPair.isFingerprint(text)
    ? Effect.succeed(text)
    : new WrongUsage({ message: `-fingerprint: "${text}" is none; give SHA256:... as \`telad fingerprint\` prints it` })

/** The token for a hub, if there is one: that of the flag, else of its variable, else what the credential stores hold. */
export const readToken = (
  given: Given,
  hub: string,
  flag: typeof token = token
): Effect.Effect<Credential, Failure, Shell> =>
  Effect.gen(function* () {
    const found = yield* given.flag(flag)
    if (Option.isSome(found)) return { token: found.value.value, source: found.value.source }
    const stores = yield* Stores.stores
    const stored = yield* stores.token(hub)
    return { token: stored?.token, source: stored?.file }
  })

/** The end of a sentence about a refused token. */
const origin = ({ source }: Credential): string => (source === undefined ? "" : `; the token came from ${source}`)

/** An error of a client. */
export type Refusal = Pick<ConnectError, "kind" | "reason"> | Pick<HubError, "kind" | "reason">

/** Kinds of errors that are about what the token is good for. */
const aboutToken: ReadonlySet<Refusal["kind"]> = new Set(["denied", "revoked", "unauthorized", "forbidden"])

/** The sentence of a client's error; a refused token is named by where it came from. */
export const explain =
  (credential: Credential) =>
  ({ kind, reason }: Refusal): Failed =>
    new Failed({ message: `${reason}${aboutToken.has(kind) ? origin(credential) : ""}` })
