/**
 * An HttpClient of @effect/platform on node:http and node:https: the whole answer at once, bounded in size and in time,
 * and no redirect is followed, since a token would go with it.
 */
import * as Http from "node:http"
import * as Https from "node:https"
import * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { HTTP_CLIENT_BYTES, HTTP_CLIENT_TIMEOUT } from "../protocol/Limits.ts"
import { explain } from "./Dialer.ts"
import * as TlsPin from "./TlsPin.ts"

class Answer extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpClientResponse.TypeId]: HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly status: number
  readonly headers: Headers.Headers
  readonly cookies: Cookies.Cookies
  readonly remoteAddress: Option.Option<string>
  readonly #body: Buffer

  constructor(request: HttpClientRequest.HttpClientRequest, source: Http.IncomingMessage, body: Buffer) {
    super()
    this.request = request
    this.status = source.statusCode ?? 0
    this.headers = Headers.fromInput(
      Object.entries(source.headers).map(([name, value]): [string, string] => [name, String(value)])
    )
    this.cookies = Cookies.fromSetCookie(source.headers["set-cookie"] ?? [])
    this.remoteAddress = Option.fromNullable(source.socket.remoteAddress)
    this.#body = body
  }

  get text() {
    return Effect.sync(() => this.#body.toString("utf8"))
  }

  get json(): Effect.Effect<unknown, HttpClientError.ResponseError> {
    return Effect.tryMap(this.text, {
      try: (text): unknown => (text === "" ? null : JSON.parse(text)),
      catch: (cause) => this.#undecodable(cause)
    })
  }

  get urlParamsBody() {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get arrayBuffer() {
    return Effect.sync(() => Uint8Array.from(this.#body).buffer)
  }

  get stream() {
    return Stream.make<[Uint8Array]>(this.#body)
  }

  get formData(): Effect.Effect<FormData, HttpClientError.ResponseError> {
    return Effect.fail(this.#undecodable("form data is not served here"))
  }

  toJSON(): unknown {
    return { _id: "tela/transport/HttpClient/Answer", status: this.status }
  }

  #undecodable(cause: unknown): HttpClientError.ResponseError {
    return new HttpClientError.ResponseError({ request: this.request, response: this, reason: "Decode", cause })
  }
}

const bodyOf = (request: HttpClientRequest.HttpClientRequest) => {
  switch (request.body._tag) {
    case "Empty":
      return Effect.succeed<Uint8Array | undefined>(undefined)
    case "Uint8Array":
      return Effect.succeed<Uint8Array | undefined>(request.body.body)
    default:
      return new HttpClientError.RequestError({
        request,
        reason: "Encode",
        description: "only bodies held in memory can be sent"
      })
  }
}

const exchange = (
  request: HttpClientRequest.HttpClientRequest,
  url: URL,
  body: Uint8Array | undefined,
  { tls }: TlsPin.PinCheck
) =>
  Effect.async<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>((resume) => {
    const fail = (description: string) =>
      resume(Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport", description })))
    const sent = (url.protocol === "https:" ? Https : Http).request(url, {
      method: request.method,
      headers: body === undefined ? request.headers : { ...request.headers, "content-length": body.length },
      // One request a program: nothing is to be kept open, and nothing to be waited for at its end.
      agent: false,
      ...tls
    })
    sent.on("error", (error) => fail(explain(error)))
    sent.on("response", (source) => {
      const chunks: Array<Buffer> = []
      let length = 0
      source.on("data", (chunk: Buffer) => {
        length += chunk.length
        if (length > HTTP_CLIENT_BYTES) {
          fail(`the answer is larger than ${HTTP_CLIENT_BYTES} bytes`)
          sent.destroy()
        } else chunks.push(chunk)
      })
      source.on("error", (error) => fail(explain(error)))
      source.on("end", () => resume(Effect.succeed(new Answer(request, source, Buffer.concat(chunks)))))
    })
    sent.end(body)
    return Effect.sync(() => sent.destroy())
  }).pipe(
    Effect.timeoutFail({
      duration: HTTP_CLIENT_TIMEOUT,
      onTimeout: () =>
        new HttpClientError.RequestError({
          request,
          reason: "Transport",
          description: `no answer within ${HTTP_CLIENT_TIMEOUT / 1000} s`
        })
    })
  )

/** The client. Its failures carry a sentence for people in `description`. */
export const make: HttpClient.HttpClient = HttpClient.make((request, url) =>
  Effect.gen(function* () {
    const body = yield* bodyOf(request)
    const check = yield* Effect.mapError(
      TlsPin.checkOf(url.href),
      ({ message }) => new HttpClientError.RequestError({ request, reason: "Transport", description: message })
    )
    const answer = yield* exchange(request, url, body, check)
    yield* check.suggest
    return answer
  })
)

export const layer: Layer.Layer<HttpClient.HttpClient> = Layer.succeed(HttpClient.HttpClient, make)
