/**
 * The hub's one port: HTTP requests and WebSockets, plain or over TLS. It owns every socket from the moment the system
 * accepts it, so that what nobody has authenticated yet is bounded ({@link file://./Guard.ts}), and so that closing ends
 * in CLOSE_TIMEOUT whatever the peers do.
 */
import * as Http from "node:http"
import * as Https from "node:https"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type WebSocket, WebSocketServer } from "ws"
import { CloseCode } from "../protocol/Close.ts"
import * as Limits from "../protocol/Limits.ts"
import type { Carrier } from "./Carrier.ts"
import * as ClientAddress from "./ClientAddress.ts"
import * as Guard from "./Guard.ts"
import * as Heartbeat from "./Heartbeat.ts"
import * as Holders from "./Holders.ts"
import * as HttpExchange from "./HttpExchange.ts"
import { createServer, listen } from "./internal/httpServer.ts"
import type { ListenError } from "./ListenError.ts"
import * as TlsFiles from "./TlsFiles.ts"
import * as TurnedAway from "./TurnedAway.ts"
import * as WebSocketCarrier from "./WebSocketCarrier.ts"

/** A WebSocket that was accepted and has not said anything yet. */
export interface Accepted {
  readonly carrier: Carrier
  /** Lifts the bounds of before authentication; to be called once the peer's first message was accepted. */
  readonly admit: () => void
}

export interface ListenerOptions {
  /** Address to listen on; empty for all. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** A socket that listens already, in place of host and port (sd_listen_fds(3)). */
  readonly fd?: number | undefined
  /** How long a port that is taken is tried again, in milliseconds; not at all unless given. */
  readonly patience?: number | undefined
  readonly tls: TlsFiles.TlsPaths | undefined
  /** Addresses or ranges whose X-Forwarded-For is believed. */
  readonly trustedProxies: ReadonlyArray<string>
  /** Answers what is no WebSocket. */
  readonly http: HttpApp.Default
  /** Paths that belong to HTTP alone; a WebSocket is accepted on every other one. */
  readonly isHttpOnly: (path: string) => boolean
  /** Where files are passed, of any size, in a body that is read, or written, as a stream; nowhere unless given. */
  readonly passesFiles?: ((method: string, path: string) => boolean) | undefined
  /** Serves one WebSocket in a fiber of its own. */
  readonly webSocket: (accepted: Accepted) => Effect.Effect<void>
  readonly limits?: Guard.GuardLimits
  /** Told of each socket, or request, of an address for which there was no place, since it had said nothing yet. */
  readonly turnedAway?: ((crowd: Guard.Crowd, address: string) => void) | undefined
}

export interface Listener extends Holders.Held {
  readonly port: number
  /** Where a program on this machine reaches it. */
  readonly url: string
  /** Sockets that have not authenticated. */
  readonly unauthenticated: () => number
  /** Leaves the port to whoever wants it next; what is open stays. A socket that was given is left to its owner. */
  readonly stop: () => void
}

const ignore = () => {}

/** Raises what one message may hold. `ws` has no call for it, so this reaches into its receiver; a test watches over it. */
const raiseMessageBound = (ws: WebSocket): void => {
  const receiver: unknown = Reflect.get(ws, "_receiver")
  if (typeof receiver === "object" && receiver !== null) Reflect.set(receiver, "_maxPayload", Limits.MESSAGE_BYTES)
}

/** A browser says where its page came from, and only the hub's own pages may speak; programs say nothing. */
const isOriginAllowed = ({ headers: { host, origin } }: Http.IncomingMessage): boolean =>
  origin === undefined || (host !== undefined && [`http://${host}`, `https://${host}`].includes(origin.toLowerCase()))

const refuseUpgrade = (socket: Duplex, status: number, text: string, wait?: number): void => {
  const head = `HTTP/1.1 ${status} ${Http.STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: text/plain\r\n`
  const again = wait === undefined ? "" : `Retry-After: ${wait}\r\n`
  socket.end(`${head}${again}Content-Length: ${Buffer.byteLength(text) + 1}\r\n\r\n${text}\n`, () => socket.destroy())
}

/** Names a connection the same way for the TCP socket and for the TLS socket on top of it. */
const keyOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress}`

/** Listens until the scope ends; then says 1001 to every WebSocket and destroys what is left after CLOSE_TIMEOUT. */
export const make = (
  options: ListenerOptions
): Effect.Effect<Listener, ListenError | TlsFiles.TlsError, Heartbeat.Heartbeat | Scope.Scope> =>
  Effect.gen(function* () {
    const heartbeat = yield* Heartbeat.Heartbeat
    const clock = yield* Effect.clock
    const material = options.tls && (yield* TlsFiles.load(options.tls))
    const server = createServer(material, options.passesFiles !== undefined)
    const limits = options.limits ?? Guard.defaults
    const guard = Guard.make(limits)
    const clients = ClientAddress.make(options.trustedProxies)
    const fibers = yield* FiberSet.make()
    const run = yield* FiberSet.runtime(fibers)()
    const sockets = new Set<Socket>()
    const carriers = new Map<WebSocket, Carrier>()
    const { answer, answered, webSocket, ...held } = Holders.make()
    const guarded = new Map<string, Guard.Guarded>()
    const { turnedAway = () => {} } = options
    /** When there is a place again for whoever finds none, in seconds. */
    const wait = Math.ceil(limits.timeout / 1_000)
    const turnAway = TurnedAway.make(wait)
    const now = () => clock.unsafeCurrentTimeMillis()

    const release = (key: string, entry: Guard.Guarded) => {
      guard.leave(entry)
      if (guarded.get(key) === entry) guarded.delete(key)
    }
    function socketClosed(this: Socket) {
      sockets.delete(this)
    }
    function webSocketClosed(this: WebSocket) {
      carriers.delete(this)
    }

    server.on("connection", (socket: Socket) => {
      socket.on("error", ignore)
      const address = ClientAddress.plain(socket.remoteAddress ?? "")
      const entry = guard.enter(socket, clients.isProxy(address) ? undefined : address, now())
      if (entry === "address" || entry === "all") {
        turnedAway(entry, address)
        return server instanceof Https.Server ? socket.destroy() : turnAway(socket, entry)
      }
      const key = keyOf(socket)
      guarded.set(key, entry)
      sockets.add(socket)
      socket.on("close", socketClosed)
      socket.once("close", () => release(key, entry))
    })
    // The other half of a TLS connection whose handshake fails.
    server.on("tlsClientError", ignore)

    const addressOf = (request: Http.IncomingMessage): string => {
      const forwarded = request.headers["x-forwarded-for"]
      return clients.of(
        ClientAddress.plain(request.socket.remoteAddress ?? ""),
        Array.isArray(forwarded) ? forwarded.join() : forwarded
      )
    }

    server.on("request", (request, response) => {
      const entry = guarded.get(keyOf(request.socket))
      if (entry === undefined) return request.socket.destroy()
      const address = addressOf(request)
      if (!guard.attribute(entry, address)) {
        // Kept alive it would go on taking a place among UNAUTHENTICATED_SOCKETS.
        response.setHeader("connection", "close")
        response.setHeader("retry-after", wait)
        turnedAway("address", address)
        return HttpExchange.refuse(response, 503, TurnedAway.reasonOf("address"))
      }
      const began = now()
      entry.deadline = began + Limits.HTTP_ANSWER_TIMEOUT
      entry.inUse = true
      response.once("close", () => {
        entry.inUse = false
        entry.deadline = now() + limits.timeout
      })
      answer(response, address)
      const [path = "/"] = (request.url ?? "/").split("?", 1)
      const moved = () => {
        const soon = now() + Limits.CHANNEL_TRANSFER_SILENCE
        entry.deadline = Math.max(entry.deadline, Math.min(soon, began + Limits.CHANNEL_TRANSFER_TIMEOUT))
      }
      const transfer = options.passesFiles?.(request.method ?? "", path) === true ? { moved } : undefined
      run(
        Effect.zipRight(
          HttpExchange.answer(options.http, request, response, address, transfer),
          Effect.sync(() => answered(response))
        )
      )
    })

    const wss = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: Limits.UNAUTHENTICATED_MESSAGE_BYTES,
      maxFragments: Limits.MESSAGE_FRAGMENTS,
      maxBufferedChunks: Limits.MESSAGE_CHUNKS
    })

    server.on("upgrade", (request, socket, head) => {
      socket.on("error", ignore)
      const key = keyOf(request.socket)
      const entry = guarded.get(key)
      if (entry === undefined) return socket.destroy()
      const [path = "/"] = (request.url ?? "/").split("?", 1)
      if (options.isHttpOnly(path)) {
        return refuseUpgrade(socket, 400, "no WebSocket here; dial the hub's own address")
      }
      if (!isOriginAllowed(request)) return refuseUpgrade(socket, 403, "another site's page may not speak to this hub")
      const address = addressOf(request)
      if (!guard.attribute(entry, address)) {
        turnedAway("address", address)
        return refuseUpgrade(socket, 503, TurnedAway.reasonOf("address"), wait)
      }
      wss.handleUpgrade(request, socket, head, (ws) => {
        entry.inUse = true
        heartbeat.watch(ws)
        const carrier = WebSocketCarrier.make(ws, request.socket, address, entry.socket)
        carriers.set(ws, carrier)
        webSocket(ws, socket, carrier)
        ws.on("close", webSocketClosed)
        let arrived = 0
        const measure = (data: Buffer) => {
          arrived += data.length
          if (arrived > Limits.UNAUTHENTICATED_SOCKET_BYTES) socket.destroy()
        }
        // Reading goes on when somebody receives: the carrier has paused it.
        socket.on("data", measure)
        const admit = () => {
          socket.off("data", measure)
          raiseMessageBound(ws)
          release(key, entry)
        }
        run(options.webSocket({ carrier, admit }))
      })
    })

    let over: Promise<void> | undefined
    const stop = () => {
      if (!server.listening) return
      over = new Promise((resolve) => {
        server.close(() => resolve())
      })
    }

    const shutdown = Effect.async<void>((resume) => {
      stop()
      if (over === undefined) return resume(Effect.void)
      const straggling = setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, Limits.CLOSE_TIMEOUT)
      void over.then(() => {
        clearTimeout(straggling)
        resume(Effect.void)
      })
      guard.clear()
      for (const carrier of carriers.values()) carrier.close(CloseCode.goingAway, "hub is shutting down")
    })

    yield* Effect.addFinalizer(() => shutdown)
    yield* listen(server, options, options.patience)
    if (options.tls !== undefined && server instanceof Https.Server) {
      yield* TlsFiles.watch(options.tls, (renewed) => server.setSecureContext(renewed))
    }
    yield* Effect.forkScoped(
      Effect.repeat(
        Effect.sync(() => guard.expire(now())),
        Schedule.spaced(Limits.DEADLINE_TICK)
      )
    )

    const bound = server.address()
    const port = typeof bound === "object" && bound !== null ? bound.port : options.port
    const host = options.host || "127.0.0.1"
    const authority = host.includes(":") ? `[${host}]` : host
    return {
      port,
      url: `${options.tls === undefined ? "http" : "https"}://${authority}:${port}`,
      unauthenticated: guard.size,
      ...held,
      stop
    }
  })
