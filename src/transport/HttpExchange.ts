/**
 * One HTTP request of Node's server answered by an Effect HTTP app. The body is read here, before the app runs, and never
 * beyond HTTP_BODY_BYTES: a longer one is answered 413, from its Content-Length or when the bound is passed. Where files are
 * passed the app gets the body as a stream ({@link Upload}), once it has decided who may send it, and may answer with one.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { TLSSocket } from "node:tls"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as FileTransfer from "./internal/fileTransfer.ts"
import * as RequestBody from "./internal/requestBody.ts"
import * as ServerRequest from "./internal/serverRequest.ts"
import { turn } from "./Slices.ts"

/**
 * On every answer, whatever it is: no guessing of types, no address of ours in other sites' logs, no frame around it, and
 * nothing to run in it but what a page itself allows.
 */
const always = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'"
}

/** A browser that came over TLS once comes over TLS for a year; said only where the hub itself serves it. */
const overTls = { "strict-transport-security": "max-age=31536000" }

const guard = (response: ServerResponse): void => {
  const headers = response.req.socket instanceof TLSSocket ? { ...always, ...overTls } : always
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
}

/** An answer that needs no app. Every body ends with a newline (spec: hub-api 0.4). */
export const refuse = (response: ServerResponse, status: number, error: string): void => {
  const body = `${JSON.stringify({ error })}\n`
  guard(response)
  // Node reads and drops what is left of the request: closing on it would reset the connection before the answer is seen.
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) })
  response.end(body)
}

/** The body of a request to a path where files are passed, not read yet; empty everywhere else. */
export class Upload extends Context.Reference<Upload>()("tela/transport/Upload", {
  defaultValue: (): { readonly bytes: Stream.Stream<Uint8Array, FileTransfer.TransferBroken> } => ({
    bytes: Stream.empty
  })
}) {}

/** A request for which files are passed; called whenever a part of one has passed, so that nobody takes it for silent. */
export interface Transfer {
  readonly moved: () => void
}

/**
 * Whether the path is read as it was sent. The web's rules for addresses resolve `.` and `..`, however they are encoded,
 * take `\` for `/` and cut at `#`: a request would then be about something else than what it names.
 */
const isAsSent = (sent: string): boolean => {
  const address = `http://hub${sent}`
  return URL.canParse(address) && new URL(address).pathname === sent.split("?", 1)[0]
}

const write = (
  request: IncomingMessage,
  response: ServerResponse,
  answer: HttpServerResponse,
  transfer: Transfer | undefined
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const body = answer.body
    const isStream = body._tag === "Stream" && transfer !== undefined
    if (body._tag !== "Empty" && body._tag !== "Uint8Array" && !isStream) {
      return Effect.sync(() => refuse(response, 500, "unsupported body"))
    }
    guard(response)
    const length = isStream && body.contentLength !== undefined ? { "content-length": body.contentLength } : {}
    response.writeHead(answer.status, { ...answer.headers, ...length })
    if (isStream && request.method !== "HEAD") return FileTransfer.send(response, body.stream, transfer.moved)
    return Effect.sync(() => {
      if (body._tag === "Uint8Array" && request.method !== "HEAD") response.end(body.body)
      else response.end()
    })
  })

/**
 * Answers one request; `address` is whose it is, for the app, and `transfer` is there where files are passed. Done when the
 * answer was handed to Node.
 */
export const answer = Effect.fnUntraced(
  function* (
    app: HttpApp.Default,
    request: IncomingMessage,
    response: ServerResponse,
    address: string,
    transfer?: Transfer
  ) {
    if (!request.url?.startsWith("/")) return refuse(response, 400, "no path")
    // A HEAD is a GET whose answer is not shown.
    const method = request.method === "HEAD" ? "GET" : (request.method ?? "GET")
    if (!isAsSent(request.url)) {
      return refuse(response, 400, "the path has . or .. as a part, or a character that must be encoded")
    }
    // A request takes a millisecond in all: what is relayed gets its turn before it is dealt with, and before it is answered.
    const body = transfer === undefined ? yield* RequestBody.read(request) : yield* Effect.as(turn, RequestBody.none)
    if (!Buffer.isBuffer(body)) return refuse(response, body.status, body.error)
    const serverRequest = ServerRequest.make(request, { method, url: request.url, body, address })
    const answered = yield* Effect.provideService(app, HttpServerRequest.HttpServerRequest, serverRequest).pipe(
      transfer === undefined
        ? (running) => running
        : Effect.provideService(Upload, { bytes: FileTransfer.receive(request, transfer.moved) })
    )
    yield* turn
    yield* write(request, response, answered, transfer)
    // What nobody wanted of an upload is dropped, for as long as the guard lets the socket be.
    if (transfer !== undefined && !request.complete) request.resume()
  },
  (answering, _app, _request, response) =>
    Effect.catchAllCause(answering, (cause) =>
      Effect.zipRight(
        Cause.isInterruptedOnly(cause) ? Effect.void : Effect.logError("an HTTP request failed", cause),
        Effect.sync(() => {
          if (!response.headersSent) refuse(response, 500, "internal error")
          else response.destroy()
        })
      )
    )
)
