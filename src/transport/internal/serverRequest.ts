/**
 * Node's request as @effect/platform's apps read it, with its body there already. The library's own way leads through the
 * web's Request, which takes longer to make, and leaves more behind, than what most requests ask for.
 */
import type { IncomingMessage } from "node:http"
import * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import type { HttpMethod } from "@effect/platform/HttpMethod"
import { RequestError } from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { MultipartError } from "@effect/platform/Multipart"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** What is known of a request. */
interface Received {
  readonly source: IncomingMessage
  readonly method: HttpMethod
  /** Path and query as they were sent. */
  readonly originalUrl: string
  /** Path and query as the app is to see them. */
  readonly url: string
  readonly headers: Headers.Headers
  readonly remoteAddress: string
  readonly body: Uint8Array
}

/** No app here takes forms with files. */
const noMultipart = new MultipartError({ reason: "InternalError", cause: "not taken" })

type Override = Parameters<HttpServerRequest.HttpServerRequest["modify"]>[0]

class ServerRequest extends Inspectable.Class implements HttpServerRequest.HttpServerRequest {
  readonly [HttpServerRequest.TypeId]: HttpServerRequest.TypeId = HttpServerRequest.TypeId
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  private readonly received: Received

  constructor(received: Received) {
    super()
    this.received = received
  }

  get source(): IncomingMessage {
    return this.received.source
  }
  get method(): HttpMethod {
    return this.received.method
  }
  get url(): string {
    return this.received.url
  }
  get originalUrl(): string {
    return this.received.originalUrl
  }
  get headers(): Headers.Headers {
    return this.received.headers
  }
  get remoteAddress(): Option.Option<string> {
    return Option.some(this.received.remoteAddress)
  }
  get cookies() {
    return Cookies.parseHeader(this.headers["cookie"] ?? "")
  }

  get text(): Effect.Effect<string> {
    return Effect.sync(() => new TextDecoder().decode(this.received.body))
  }
  get json(): Effect.Effect<unknown, RequestError> {
    return Effect.tryMap(this.text, {
      try: (text): unknown => JSON.parse(text),
      catch: (cause) => new RequestError({ request: this, reason: "Decode", cause })
    })
  }
  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams> {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }
  get arrayBuffer(): Effect.Effect<ArrayBuffer> {
    return Effect.sync(() => new Uint8Array(this.received.body).buffer)
  }
  get stream(): Stream.Stream<Uint8Array> {
    return Stream.make(this.received.body)
  }

  get multipart(): Effect.Effect<never, MultipartError> {
    return Effect.fail(noMultipart)
  }
  get multipartStream(): Stream.Stream<never, MultipartError> {
    return Stream.fail(noMultipart)
  }
  /** A request for a WebSocket never gets here. */
  get upgrade(): Effect.Effect<never, RequestError> {
    return Effect.fail(new RequestError({ request: this, reason: "Decode", description: "not taken" }))
  }

  modify({ headers, remoteAddress, url }: Override): ServerRequest {
    return new ServerRequest({
      ...this.received,
      ...(headers !== undefined && { headers }),
      ...(remoteAddress !== undefined && { remoteAddress }),
      ...(url !== undefined && { url })
    })
  }

  /** Without headers and body, which may hold secrets. */
  toJSON(): unknown {
    return { _id: "@effect/platform/HttpServerRequest", method: this.method, url: this.originalUrl.split("?", 1)[0] }
  }
}

/**
 * A request of the address that it came from; `url` is its path and query. The one cast of this code base: the library's
 * type has the methods that have routes, and its router finds none for another, which is then answered as a wrong one.
 */
export const make = (
  source: IncomingMessage,
  asked: { readonly method: string; readonly url: string; readonly body: Uint8Array; readonly address: string }
): HttpServerRequest.HttpServerRequest =>
  new ServerRequest({
    source,
    method: asked.method as HttpMethod,
    originalUrl: asked.url,
    url: asked.url,
    headers: Headers.fromInput(source.headers),
    remoteAddress: asked.address,
    body: asked.body
  })
