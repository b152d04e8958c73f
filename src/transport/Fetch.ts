/**
 * Fetches files of any size from web servers, by the proxies and CAs by which hubs are reached: the body as a stream that
 * waits for its reader. Only by TLS, or from this very machine; redirects are followed within that, since no token goes
 * along.
 */
import * as Http from "node:http"
import * as Https from "node:https"
import type { Socket } from "node:net"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { UPDATE_REDIRECTS, UPDATE_SILENCE } from "../protocol/Limits.ts"
import * as DialReason from "./DialReason.ts"
import * as HubSocket from "./HubSocket.ts"
import { isLoopback } from "./NoProxy.ts"
import { hostOf, isSecure } from "./Proxy.ts"

/** It could not be fetched. The reason is a sentence. */
export class FetchError extends Data.TaggedError("FetchError")<{
  readonly address: string
  readonly reason: string
  /** The server's answer, when it gave one. */
  readonly status?: number | undefined
  /** When a server that is busy wants to be asked again, in milliseconds from now. */
  readonly retryAfter?: number | undefined
}> {
  override get message(): string {
    return `${this.address}: ${this.reason}`
  }
}

/** An answer that is there, and its body that is still to come. */
export interface Fetched {
  /** Where it came from in the end. */
  readonly address: string
  /** What the server says of its length, if it does. */
  readonly length: number | undefined
  /** Fails when it stops before its end, or stands still for UPDATE_SILENCE. */
  readonly body: Stream.Stream<Uint8Array, FetchError>
}

/** Whether something may be fetched there: TLS, or this very machine. */
export const isAllowed = (url: URL): boolean =>
  url.protocol === "https:" || (url.protocol === "http:" && isLoopback(hostOf(url)))

const parse = (text: string): URL | undefined => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url !== undefined && isAllowed(url) ? url : undefined
}

const secondsOf = (header: string | undefined): number | undefined =>
  header !== undefined && /^\d{1,5}$/.test(header) ? Number(header) * 1_000 : undefined

/** One request; its answer's head. The socket ends with the scope. */
const ask = (address: string): Effect.Effect<Http.IncomingMessage, FetchError, Scope.Scope> =>
  Effect.gen(function* () {
    const failed = (reason: string) => new FetchError({ address, reason })
    const way = yield* Effect.mapError(HubSocket.wayTo(address), ({ reason }) => failed(reason))
    let socket: Socket | undefined
    yield* Effect.addFinalizer(() => Effect.sync(() => socket?.destroy()))
    return yield* Effect.async<Http.IncomingMessage, FetchError>((resume) => {
      const fail = (reason: string) => resume(failed(reason))
      const attempt = HubSocket.open(
        way,
        (opened) => {
          socket = opened
          const sent = (isSecure(way.url) ? Https : Http).request(way.url, {
            headers: { accept: "*/*" },
            createConnection: () => opened
          })
          opened.setTimeout(UPDATE_SILENCE, () => {
            opened.destroy(new Error(`nothing came for ${UPDATE_SILENCE / 1_000} s`))
          })
          sent.on("error", (error) => fail(DialReason.explain(error)))
          sent.on("response", (answer) => resume(Effect.succeed(answer)))
          sent.end()
        },
        ({ reason }) => fail(reason)
      )
      return Effect.sync(attempt.cancel)
    }).pipe(
      Effect.timeoutFail({
        duration: UPDATE_SILENCE,
        onTimeout: () => failed(`no answer within ${UPDATE_SILENCE / 1_000} s`)
      })
    )
  })

const refusal = (address: string, url: URL, answer: Http.IncomingMessage): FetchError => {
  const { headers, statusCode: status = 0 } = answer
  const retryAfter = status === 429 || status === 503 ? secondsOf(headers["retry-after"]) : undefined
  const reason =
    status === 404
      ? "there is no such file (HTTP 404)"
      : (DialReason.inBetween(url, { status, headers }) ?? `the server answered HTTP ${status}`)
  return new FetchError({ address, reason, status, retryAfter })
}

/** Opens what is at an address. The body must be read, or left, before the scope ends. */
export const open = (address: string, redirects = UPDATE_REDIRECTS): Effect.Effect<Fetched, FetchError, Scope.Scope> =>
  Effect.gen(function* () {
    const failed = (reason: string) => new FetchError({ address, reason })
    const url = parse(address)
    if (url === undefined)
      return yield* failed("this is neither https nor on this machine, so nothing is fetched there")
    const answer = yield* ask(address)
    const { headers, statusCode: status = 0 } = answer
    const { location } = headers
    if ([301, 302, 303, 307, 308].includes(status) && location !== undefined && URL.canParse(location, address)) {
      answer.destroy()
      const to = new URL(location, address)
      if (redirects === 0) return yield* failed(`it leads elsewhere more than ${UPDATE_REDIRECTS} times`)
      if (!isAllowed(to) || (isSecure(url) && !isSecure(to))) {
        return yield* failed(`it leads to ${to.origin}, which is not https`)
      }
      return yield* open(to.href, redirects - 1)
    }
    if (status !== 200) {
      answer.destroy()
      return yield* refusal(address, url, answer)
    }
    const length = headers["content-length"]
    return {
      address,
      length: length === undefined ? undefined : Number(length),
      body: Stream.fromAsyncIterable<Uint8Array, FetchError>(answer, (cause) =>
        failed(`it stopped before its end: ${cause instanceof Error ? DialReason.explain(cause) : "no reason given"}`)
      )
    }
  })
