/**
 * What logging in is for any program: ask for a token, try it at the hub, and only then keep it.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Token from "../crypto/Token.ts"
import type { Credentials } from "../store/Credentials.ts"
import { httpOrigin } from "../protocol/HubUrl.ts"
import { oneLine } from "../protocol/Printable.ts"
import { HubPins } from "../transport/TlsPin.ts"
import { Failed, type Failure } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import * as Prompt from "./Prompt.ts"
import { print, type Shell } from "./Shell.ts"

/** Where to log in, and where to keep what is typed. */
export interface Login {
  /** As it is dialled. */
  readonly hub: string
  readonly store: Credentials
  /** The pin to hold the connection to, in place of what is kept; the caller keeps it. */
  readonly pin?: string | undefined
}

/** Holds connections to a hub to a pin that is not stored yet. */
const withPin = <A, E, R>(hub: string, pin: string | undefined, use: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  pin === undefined
    ? use
    : Effect.flatMap(HubPins, ({ pinOf }) =>
        Effect.provideService(use, HubPins, {
          pinOf: (url) => (httpOrigin(url) === httpOrigin(hub) ? Effect.succeed(pin) : pinOf(url))
        })
      )

/** Logs in. Nothing is stored unless the hub takes the token. */
export const run = ({ hub, pin, store }: Login): Effect.Effect<void, Failure, Shell> =>
  Effect.gen(function* () {
    yield* store.writable
    const token = yield* Prompt.secret("Token: ")
    if (Redacted.value(token) === "") return yield* new Failed({ message: "no token was given; nothing was stored" })
    if (!Token.format.test(Redacted.value(token))) {
      return yield* new Failed({ message: `${Flags.notAToken("what was given")}; nothing was stored` })
    }
    const Self = yield* Effect.promise(() => import("../client/Self.ts"))
    const HttpClient = yield* Effect.promise(() => import("../transport/HttpClient.ts"))
    const who = yield* withPin(hub, pin, Effect.provide(Self.whoami({ hub, token }), HttpClient.layer)).pipe(
      Effect.mapError(({ reason }) => new Failed({ message: `${reason}; nothing was stored` }))
    )
    yield* store.put(hub, { token, ...(who !== undefined && { identity: who.id }) })
    const as = who === undefined ? "" : ` as ${who.id}, role ${who.role}`
    yield* print(oneLine(`Logged in to ${hub}${as}; the token is kept in ${store.file}.`))
  })
