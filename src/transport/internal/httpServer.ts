/** Node's HTTP server, plain or over TLS, with the bounds of Limits.ts, and the opening of its port. */
import * as Http from "node:http"
import * as Https from "node:https"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Limits from "../../protocol/Limits.ts"
import { type ListenError, listenError } from "../ListenError.ts"
import type { TlsMaterial } from "../TlsFiles.ts"

/** Where to listen: an empty host is every address, port 0 the system's choice. */
export interface Address {
  readonly host: string
  readonly port: number
  /** A socket that listens already, opened by whoever started this process, in place of both. */
  readonly fd?: number | undefined
}

/**
 * A server that listens nowhere yet. Where files are passed, Node lets a request take long; what is no file is bounded by
 * {@link file://./../HttpExchange.ts} as everywhere.
 */
export const createServer = (tls: TlsMaterial | undefined, passesFiles = false): Http.Server => {
  const options = {
    maxHeaderSize: Limits.HTTP_HEADER_BYTES,
    headersTimeout: Limits.HTTP_HEADERS_TIMEOUT,
    requestTimeout: passesFiles ? Limits.CHANNEL_TRANSFER_TIMEOUT : Limits.HTTP_RECEIVE_TIMEOUT,
    keepAliveTimeout: Limits.HTTP_KEEP_ALIVE,
    connectionsCheckingInterval: Limits.DEADLINE_TICK,
    noDelay: true,
    // Finds hosts that vanish while relaying is paused both ways, when no ping of ours would be read.
    keepAlive: true,
    keepAliveInitialDelay: Limits.TCP_KEEP_ALIVE_DELAY
  }
  const server = tls === undefined ? Http.createServer(options) : Https.createServer({ ...options, ...tls })
  server.maxRequestsPerSocket = Limits.HTTP_REQUESTS_PER_SOCKET
  // Who ends its half once it has asked, as `nc -N` does, is answered all the same; Node's own types do not know this.
  return Object.assign(server, { httpAllowHalfOpen: true })
}

const tryListen = (server: Http.Server, { fd, host, port }: Address): Effect.Effect<void, ListenError> =>
  Effect.async<void, ListenError>((resume) => {
    const failed = (error: Error) => resume(Effect.fail(listenError(error, { host, port })))
    server.once("error", failed)
    server.listen(fd === undefined ? { port, ...(host !== "" && { host }) } : { fd }, () => {
      server.off("error", failed)
      server.on("error", () => {})
      resume(Effect.void)
    })
  })

/** Opens the port; one that is taken is tried again for `patience` milliseconds. */
export const listen = (server: Http.Server, address: Address, patience = 0): Effect.Effect<void, ListenError> =>
  Effect.retry(tryListen(server, address), {
    while: ({ code }) => code === "EADDRINUSE" && patience > 0,
    schedule: Schedule.upTo(Schedule.spaced(Limits.SUCCESSOR_BIND_RETRY), patience)
  })
