/**
 * What a client asks of a hub's administration, typed from the one definition of its interface
 * (src/protocol/HubApi.ts). Works with deployed hubs too, as far as they have the paths.
 */
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import { HubApi } from "../protocol/HubApi.ts"
import { httpOrigin } from "../protocol/HubUrl.ts"
import type { HubClientOptions } from "./HubClient.ts"
import * as HubError from "./HubError.ts"

/** Called with what an answer says of when to come again; each question has its own. */
class OnAnswer extends Context.Reference<OnAnswer>()("tela/client/AdminClient/OnAnswer", {
  defaultValue: () => (_retryAfter: string | undefined) => {}
}) {}

/** A file to be sent; it is read while it goes out. */
export interface Sending {
  readonly bytes: Stream.Stream<Uint8Array, unknown>
  readonly size: number
}

/** What a question sends in place of the payload that its endpoint has, if that is a file. */
class Body extends Context.Reference<Body>()("tela/client/AdminClient/Body", {
  defaultValue: (): Sending | undefined => undefined
}) {}

const withBody = (request: HttpClientRequest.HttpClientRequest) =>
  Effect.map(Body, (sending) =>
    sending === undefined
      ? request
      : HttpClientRequest.bodyStream(request, sending.bytes, { contentLength: sending.size })
  )

const connect = (hub: string) =>
  HttpApiClient.make(HubApi, {
    baseUrl: httpOrigin(hub),
    transformClient: (client) =>
      pipe(
        client,
        HttpClient.tap((answer) => Effect.map(OnAnswer, (told) => told(answer.headers["retry-after"]))),
        HttpClient.mapRequestEffect(withBody)
      )
  })

/** The interface of a hub: groups of endpoints, each a function of `path`, `headers` and `payload`. */
export type Api = Effect.Effect.Success<ReturnType<typeof connect>>

/** The headers of every request: the token, in the one way that our programs send it. */
export interface AdminHeaders {
  readonly authorization?: string
}

/** A hub, and who asks it. */
type Asking = HubClientOptions & { readonly presented?: "token" | "code" }

/** Asks one hub, as often as there is something to ask. */
export interface Asker {
  /** `use` calls the hub's interface. Names in a path are to be encoded: parts are put together as they are. */
  readonly ask: <A, E extends HubError.ApiFailure>(
    use: (api: Api, headers: AdminHeaders) => Effect.Effect<A, E>
  ) => Effect.Effect<A, HubError.HubError>
  /** The same, with a file in place of the payload that `use` gives. */
  readonly send: <A, E extends HubError.ApiFailure>(
    sending: Sending,
    use: (api: Api, headers: AdminHeaders) => Effect.Effect<A, E>
  ) => Effect.Effect<A, HubError.HubError>
}

/** Gets ready to ask a hub, which takes longer than a question: the interface is put together from its definition. */
export const make = ({ hub, presented = "token", token }: Asking): Effect.Effect<Asker, never, HttpClient.HttpClient> =>
  Effect.map(connect(hub), (api) => {
    const ask: Asker["ask"] = (use) =>
      Effect.suspend(() => {
        let retryAfter: string | undefined
        const headers = token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }
        return use(api, headers).pipe(
          Effect.provideService(OnAnswer, (value) => {
            retryAfter = value
          }),
          Effect.mapError((failure) => HubError.of({ hub, presented, retryAfter }, failure))
        )
      })
    return { ask, send: (sending, use) => Effect.provideService(ask(use), Body, sending) }
  })

/**
 * Asks a hub once.
 *
 * @example
 * AdminClient.ask({ hub, token }, (api, headers) => api.tokens.list({ headers }))
 */
export const ask = <A, E extends HubError.ApiFailure>(
  asking: Asking,
  use: (api: Api, headers: AdminHeaders) => Effect.Effect<A, E>
): Effect.Effect<A, HubError.HubError, HttpClient.HttpClient> => Effect.flatMap(make(asking), (asker) => asker.ask(use))
