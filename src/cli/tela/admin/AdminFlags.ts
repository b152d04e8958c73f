/**
 * What the commands of `tela admin` have in common: which hub and as whom, how they ask it, how they take names and
 * times, and how they make sure that something is meant.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { AdminHeaders, Api, Sending } from "../../../client/AdminClient.ts"
import type { ApiFailure, HubError } from "../../../client/HubError.ts"
import { ANY_MACHINE } from "../../../policy/Identity.ts"
import * as Duration from "../../../protocol/Duration.ts"
import { CHANNEL_TRANSFER_TIMEOUT, HTTP_CLIENT_TIMEOUT, MANAGE_TIMEOUT } from "../../../protocol/Limits.ts"
import { printable, quoted } from "../../../protocol/Printable.ts"
import type { Given } from "../../Command.ts"
import { Failed, type Failure, WrongUsage } from "../../Failure.ts"
import * as Flags from "../../Flags.ts"
import * as GrantWords from "../../GrantWords.ts"
import { ca } from "../../NetworkFlags.ts"
import * as Prompt from "../../Prompt.ts"
import type { Shell } from "../../Shell.ts"
import { explain, hub, readHub, readToken, type Refusal } from "../HubFlags.ts"

export const token = Flags.token({
  name: "token",
  placeholder: "TOKEN",
  description: "an owner's or admin's token",
  env: ["TELA_OWNER_TOKEN", "TELA_TOKEN"]
})

/** What every command takes. */
export const hubFlags: ReadonlyArray<Flags.Flag<unknown>> = [hub, token, ca]

export const yes = Flags.toggle("yes", "do not ask whether it is meant")
export const quiet = Flags.toggle("quiet", "print the secret and nothing else")

export const identity = Flags.argument("id")
export const machine = Flags.argument("machine")

/** Asks a hub something, and explains in words why it did not work. */
export interface Admin {
  /** As it is dialled. */
  readonly hub: string
  readonly ask: <A, E extends ApiFailure>(
    use: (api: Api, headers: AdminHeaders) => Effect.Effect<A, E>
  ) => Effect.Effect<A, Failed>
  /** What a person is told of a failure. */
  readonly explain: (error: Refusal) => Failed
  /** The same as `ask`, for whoever has to tell failures apart. */
  readonly tryAsk: <A, E extends ApiFailure>(
    use: (api: Api, headers: AdminHeaders) => Effect.Effect<A, E>
  ) => Effect.Effect<A, HubError>
  /** As `tryAsk`, where the hub may wait for an agent before it answers. */
  readonly patient: <A, E extends ApiFailure>(
    use: (api: Api, headers: AdminHeaders) => Effect.Effect<A, E>
  ) => Effect.Effect<A, HubError>
  /** As `tryAsk`, with a file in place of the payload that `use` gives. */
  readonly send: <A, E extends ApiFailure>(
    sending: Sending,
    use: (api: Api, headers: AdminHeaders) => Effect.Effect<A, E>
  ) => Effect.Effect<A, HubError>
}

/** The hub that the command line means, with the token for it. What talks to hubs is loaded only now. */
export const open = (given: Given): Effect.Effect<Admin, Failure, Shell> =>
  Effect.gen(function* () {
    const where = yield* readHub(given)
    const credential = yield* readToken(given, where, token)
    if (credential.token === undefined) {
      return yield* new Failed({
        message: `no token for ${where}: give -token, set TELA_OWNER_TOKEN or TELA_TOKEN, or run: tela login ${where}`
      })
    }
    const AdminClient = yield* Effect.promise(() => import("../../../client/AdminClient.ts"))
    const HttpClient = yield* Effect.promise(() => import("../../../transport/HttpClient.ts"))
    const asker = yield* Effect.provide(AdminClient.make({ hub: where, token: credential.token }), HttpClient.layer)
    const { ask, send } = asker
    return {
      hub: where,
      explain: explain(credential),
      tryAsk: ask,
      patient: (use) => Effect.provideService(ask(use), HttpClient.AnswerTimeout, MANAGE_TIMEOUT + HTTP_CLIENT_TIMEOUT),
      send: (sending, use) =>
        Effect.provideService(send(sending, use), HttpClient.AnswerTimeout, CHANNEL_TRANSFER_TIMEOUT),
      ask: (use) => Effect.mapError(ask(use), explain(credential))
    }
  })

/** A name of an identity or machine that there may be. Two that no address can hold are none. */
export const readName = (given: Given, positional: Flags.Positional<string>): Effect.Effect<string, WrongUsage> =>
  Effect.flatMap(given.word(positional), (text) =>
    text === "" || text === "." || text === ".."
      ? new WrongUsage({ message: `<${positional.placeholder}>: ${quoted(text)} is no name` })
      : Effect.succeed(text)
  )

/** A name that hubs take for something new; `what` names it in the sentence of an error. */
export const newName = (text: string, what: string): Effect.Effect<string, WrongUsage> =>
  Effect.flatMap(
    Effect.promise(() => import("../../../protocol/Name.ts")),
    ({ isNewName, nameRule }) =>
      isNewName(text)
        ? Effect.succeed(text)
        : new WrongUsage({ message: `${what}: ${quoted(text)} is no name; it ${nameRule}` })
  )

/** A name for an identity. */
export const readNewId = (given: Given, positional: Flags.Positional<string>): Effect.Effect<string, WrongUsage> =>
  Effect.flatMap(given.word(positional), (text) =>
    text === ANY_MACHINE
      ? new WrongUsage({ message: `<${positional.placeholder}>: "${text}" stands for every machine, and is no name` })
      : newName(text, `<${positional.placeholder}>`)
  )

/** A name as a part of a path: the typed client puts parts together as they are. */
export const segment = (name: string): string => encodeURIComponent(name)

/** Deployed hubs would pass over an expiry that they do not know, and give for ever what was meant for a while. */
export const requireExpiries = ({ hub: where, tryAsk }: Admin): Effect.Effect<void, Failure> =>
  Effect.asVoid(tryAsk((api, headers) => api.self.whoami({ headers }))).pipe(
    Effect.catchIf(
      ({ kind }) => kind !== "not-found",
      () => Effect.void
    ),
    Effect.mapError(() => new Failed({ message: `${where} is too old for -expires here; nothing was changed` }))
  )

/** When something is to expire, as the hub takes it; undefined when nothing was said. */
export const readExpiry = (
  given: Given,
  flag: Flags.OptionalFlag<string>
): Effect.Effect<string | undefined, WrongUsage> =>
  Effect.map(GrantWords.readExpiry(given, flag), (at) => (at === undefined ? undefined : Duration.formatInstant(at)))

/** Goes on when it is meant: -yes, a person who says so, or nobody to ask. */
export const confirm = (given: Given, question: string): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    if (yield* given.flag(yes)) return
    if (!(yield* Prompt.confirm(question))) return yield* new Failed({ message: "nothing was changed" })
  })

/** A time of the hub's in the one form that we print; `-` for none, and what is no time made printable. */
export const shownTime = (text: string | undefined): string => {
  if (text === undefined) return "-"
  return Either.match(Duration.parseInstant(text), { onLeft: () => printable(text), onRight: Duration.formatInstant })
}
