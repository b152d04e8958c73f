/**
 * What a client asks of a hub's administration, typed from the one definition of its interface
 * (src/protocol/HubApi.ts). Works with deployed hubs too, as far as they have the paths.
 */
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import { HubApi } from "../protocol/HubApi.ts"
import { httpOrigin } from "../protocol/HubUrl.ts"
import type { HubClientOptions } from "./HubClient.ts"
import * as HubError from "./HubError.ts"

/** A file to be sent; it is read while it goes out. */
export interface Sending {
  readonly bytes: Stream.Stream<Uint8Array, unknown>
  readonly size: number
}

const connect = (hub: string, sending: Sending | undefined, onAnswer: (retryAfter: string | undefined) => void) =>
  HttpApiClient.make(HubApi, {
    baseUrl: httpOrigin(hub),
    transformClient: (client) =>
      pipe(
        client,
        HttpClient.tap((answer) => Effect.sync(() => onAnswer(answer.headers["retry-after"]))),
        sending === undefined
          ? (same) => same
          : HttpClient.mapRequest(HttpClientRequest.bodyStream(sending.bytes, { contentLength: sending.size }))
      )
  })

/** The interface of a hub: groups of endpoints, each a function of `path`, `headers` and `payload`. */
export type Api = Effect.Effect.Success<ReturnType<typeof connect>>

/** The headers of every request: the token, in the one way that our programs send it. */
export interface AdminHeaders {
  readonly authorization?: string
}

/** Whom to ask, as whom, and what is sent in place of the payload that `use` gives, if that is a file. */
export interface AdminOptions extends HubClientOptions {
  readonly presented?: "token" | "code"
  readonly sending?: Sending | undefined
}

/**
 * Asks a hub: `use` calls its interface. Names in a path are to be encoded: parts are put together as they are.
 *
 * @example
 * AdminClient.ask({ hub, token }, (api, headers) => api.tokens.list({ headers }))
 */
export const ask = <A, E extends HubError.ApiFailure>(
  { hub, presented = "token", sending, token }: AdminOptions,
  use: (api: Api, headers: AdminHeaders) => Effect.Effect<A, E>
): Effect.Effect<A, HubError.HubError, HttpClient.HttpClient> =>
  Effect.suspend(() => {
    let retryAfter: string | undefined
    const api = connect(hub, sending, (value) => {
      retryAfter = value
    })
    const headers = token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }
    return Effect.flatMap(api, (made) => use(made, headers)).pipe(
      Effect.mapError((failure) => HubError.of({ hub, presented, retryAfter }, failure))
    )
  })
