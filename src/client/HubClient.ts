/** What a client asks a hub over HTTP, typed from the one definition of its interface (src/protocol/HubApi.ts). */
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { HubApi, type Status } from "../protocol/HubApi.ts"
import { httpOrigin } from "../protocol/HubUrl.ts"
import { ConnectError, type ConnectErrorKind } from "./ConnectError.ts"

/** Which hub, and as whom. */
export interface HubClientOptions {
  /** As `HubUrl.parse` takes it. */
  readonly hub: string
  readonly token: Redacted.Redacted | undefined
}

const failure = (kind: ConnectErrorKind, reason: string) => new ConnectError({ kind, reason })

/** Every machine that the token may see, and the hub itself. */
export const status = (options: HubClientOptions): Effect.Effect<Status, ConnectError, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const { hub, token } = options
    const client = yield* HttpApiClient.make(HubApi, { baseUrl: httpOrigin(hub) })
    const headers = token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }
    const noHub = `${hub} does not answer as a Tela hub; check the address`
    return yield* Effect.mapError(client.hub.status({ headers }), (error) => {
      if (!("_tag" in error)) {
        const advice = token === undefined ? "give -token or set TELA_TOKEN" : "it is unknown, expired or revoked"
        return failure("denied", `${hub} wants a valid token: ${advice}`)
      }
      switch (error._tag) {
        case "RequestError":
          return failure("unreachable", `cannot reach ${hub}: ${error.description ?? error.message}`)
        case "ResponseError":
          return failure("refused", `${noHub} (HTTP ${error.response.status})`)
        default:
          return failure("refused", noHub)
      }
    })
  })
