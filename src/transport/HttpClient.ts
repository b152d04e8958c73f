/**
 * An HttpClient of @effect/platform for what hubs serve, on node:http and node:https: the whole answer at once, bounded in
 * size and in time. Files are sent as streams. No redirect is followed, since a token would go with it, and what answers in
 * a hub's place is named.
 */
import * as Http from "node:http"
import * as Https from "node:https"
import type { Socket } from "node:net"
import * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { CHANNEL_TRANSFER_SILENCE, HTTP_CLIENT_BYTES, HTTP_CLIENT_TIMEOUT } from "../protocol/Limits.ts"
import * as DialReason from "./DialReason.ts"
import * as HubSocket from "./HubSocket.ts"
import * as FileTransfer from "./internal/fileTransfer.ts"
import { isSecure } from "./Proxy.ts"

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

/** What is sent: nothing, what is held in memory, or a stream whose length is known. */
type Body = Uint8Array | { readonly stream: Stream.Stream<Uint8Array, unknown>; readonly length: number } | undefined

const bodyOf = (request: HttpClientRequest.HttpClientRequest): Effect.Effect<Body, HttpClientError.RequestError> => {
  const { body } = request
  if (body._tag === "Empty") return Effect.succeed(undefined)
  if (body._tag === "Uint8Array") return Effect.succeed(body.body)
  if (body._tag === "Stream" && body.contentLength !== undefined) {
    return Effect.succeed({ stream: body.stream, length: body.contentLength })
  }
  return unsendable(request, "only bodies whose length is known can be sent")
}

const transportError = (request: HttpClientRequest.HttpClientRequest, description: string) =>
  new HttpClientError.RequestError({ request, reason: "Transport", description })

/** What is to be sent cannot be; the hub has no part in it. */
const unsendable = (request: HttpClientRequest.HttpClientRequest, description: string) =>
  new HttpClientError.RequestError({ request, reason: "Encode", description })

/** Begins the request on a connection to the hub; its body is still to come. */
const begin = (
  request: HttpClientRequest.HttpClientRequest,
  { url }: HubSocket.Way,
  body: Body,
  socket: Socket,
  resume: (answer: Effect.Effect<Answer, HttpClientError.HttpClientError>) => void
): Http.ClientRequest => {
  const fail = (description: string) => resume(transportError(request, description))
  // Without an agent: one request a program, nothing is to be kept open, and nothing to be waited for at its end.
  const sent = (isSecure(url) ? Https : Http).request(url, {
    method: request.method,
    headers: body === undefined ? request.headers : { ...request.headers, "content-length": body.length },
    createConnection: () => socket
  })
  let answering = false
  // Who answers before all was sent may close on the rest; what counts is the answer, which fails by itself if it breaks.
  sent.on("error", (error) => answering || fail(DialReason.explain(error)))
  sent.on("response", (source) => {
    answering = true
    const { headers, statusCode: status = 0 } = source
    const problem = DialReason.inBetween(url, { status, headers })
    if (problem !== undefined) {
      sent.destroy()
      return fail(problem)
    }
    const chunks: Array<Buffer> = []
    let length = 0
    source.on("data", (chunk: Buffer) => {
      length += chunk.length
      if (length > HTTP_CLIENT_BYTES) {
        fail(`the answer is larger than ${HTTP_CLIENT_BYTES} bytes`)
        sent.destroy()
      } else chunks.push(chunk)
    })
    source.on("error", (error) => fail(DialReason.explain(error)))
    source.on("end", () => resume(Effect.succeed(new Answer(request, source, Buffer.concat(chunks)))))
  })
  return sent
}

/** Sends the body. Never ends by itself, unless it cannot be sent. */
const sendBody = (
  request: HttpClientRequest.HttpClientRequest,
  body: Body,
  sent: Http.ClientRequest
): Effect.Effect<never, HttpClientError.RequestError> => {
  if (body === undefined || body instanceof Uint8Array) {
    return Effect.zipRight(
      Effect.sync(() => void sent.end(body)),
      Effect.never
    )
  }
  sent.setTimeout(CHANNEL_TRANSFER_SILENCE, () => {
    sent.destroy(new Error(`nothing moved for ${CHANNEL_TRANSFER_SILENCE / 1_000} s`))
  })
  return Effect.mapError(FileTransfer.ask(sent, body.stream), (cause) =>
    unsendable(request, cause instanceof Error ? cause.message : "it cannot be read")
  )
}

/** How long an answer may take, in milliseconds: HTTP_CLIENT_TIMEOUT, unless whoever asks knows that it takes longer. */
export class AnswerTimeout extends Context.Reference<AnswerTimeout>()("tela/transport/AnswerTimeout", {
  defaultValue: (): number => HTTP_CLIENT_TIMEOUT
}) {}

/** Opens a connection, sends the request on it and takes the answer, within so many milliseconds. */
const exchange = (
  request: HttpClientRequest.HttpClientRequest,
  way: HubSocket.Way,
  body: Body,
  timeout: number
): Effect.Effect<Answer, HttpClientError.HttpClientError> =>
  Effect.suspend(() => {
    let silent = () => ""
    const begun = Deferred.unsafeMake<Http.ClientRequest>(FiberId.none)
    return Effect.async<Answer, HttpClientError.HttpClientError>((resume) => {
      let sent: Http.ClientRequest | undefined
      const attempt = HubSocket.open(
        way,
        (socket) => {
          sent = begin(request, way, body, socket, resume)
          Deferred.unsafeDone(begun, Effect.succeed(sent))
        },
        ({ reason }) => resume(transportError(request, reason))
      )
      silent = attempt.silent
      return Effect.sync(() => {
        attempt.cancel()
        sent?.destroy()
      })
    }).pipe(
      Effect.raceFirst(Effect.flatMap(Deferred.await(begun), (sent) => sendBody(request, body, sent))),
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () => transportError(request, `${silent()} within ${timeout / 1000} s`)
      })
    )
  })

/** The client. Its failures carry a sentence for people in `description`. */
export const make: HttpClient.HttpClient = HttpClient.make((request, url) =>
  Effect.gen(function* () {
    const body = yield* bodyOf(request)
    const way = yield* Effect.mapError(HubSocket.wayTo(url.href), ({ reason }) => transportError(request, reason))
    const answer = yield* exchange(request, way, body, yield* AnswerTimeout)
    yield* way.check.suggest
    return answer
  })
)

export const layer: Layer.Layer<HttpClient.HttpClient> = Layer.succeed(HttpClient.HttpClient, make)
