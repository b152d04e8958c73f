/**
 * A proxy that opens ways by CONNECT, as networks have them: by http or https, with credentials or without. It resolves
 * names that nobody else knows, so that what arrives came through it.
 */
import * as Http from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface ConnectProxy {
  readonly port: number
  /** Every CONNECT that came, `host:port`. */
  readonly asked: ReadonlyArray<string>
  /** Ways that are open now. */
  readonly open: () => number
  /** Resolves when it has been asked so often. */
  readonly askedTimes: (count: number) => Effect.Effect<void>
}

export interface ProxyOptions {
  /** Local ports, by the name and port that is asked for; other names are answered 502. */
  readonly ports: Readonly<Record<string, number>>
  /** `user:password` that it wants. */
  readonly credentials?: string
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer }
  /** In place of opening a way. */
  readonly instead?: (socket: Duplex) => void
}

/** Starts a proxy on a free port of 127.0.0.1; its scope ends it and all that goes through it. */
export const start = (options: ProxyOptions): Effect.Effect<ConnectProxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<ConnectProxy & { readonly stop: Effect.Effect<void> }>((resume) => {
      const asked: Array<string> = []
      const watchers = new Set<() => void>()
      const sockets = new Set<Duplex>()
      const keep = (socket: Duplex) => {
        sockets.add(socket)
        socket.on("error", () => {})
        socket.on("close", () => sockets.delete(socket))
      }
      let ways = 0
      const server = options.tls === undefined ? Http.createServer() : Https.createServer(options.tls)
      server.on("connection", keep)
      server.on("connect", (request, socket, head) => {
        keep(socket)
        const target = request.url ?? ""
        asked.push(target)
        for (const watcher of watchers) watcher()
        if (options.instead !== undefined) return options.instead(socket)
        if (options.credentials !== undefined) {
          const wanted = `Basic ${Buffer.from(options.credentials).toString("base64")}`
          if (request.headers["proxy-authorization"] !== wanted) {
            return socket.end(
              'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'
            )
          }
        }
        const port = options.ports[target]
        if (port === undefined) return socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n")
        const onward = Net.connect(port, "127.0.0.1", () => {
          socket.write("HTTP/1.1 200 Connection established\r\n\r\n")
          onward.write(head)
          onward.pipe(socket).pipe(onward)
        })
        keep(onward)
        ways += 1
        let over = false
        const end = () => {
          if (!over) ways -= 1
          over = true
          onward.destroy()
          socket.destroy()
        }
        onward.on("close", end)
        socket.on("close", end)
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(
          Effect.succeed({
            port: typeof address === "object" && address !== null ? address.port : 0,
            asked,
            open: () => ways,
            askedTimes: (count) =>
              Effect.async<void>((done) => {
                const watcher = () => {
                  if (asked.length < count) return
                  watchers.delete(watcher)
                  done(Effect.void)
                }
                watchers.add(watcher)
                watcher()
              }),
            stop: Effect.async<void>((done) => {
              for (const socket of sockets) socket.destroy()
              server.close(() => done(Effect.void))
            })
          })
        )
      })
    }),
    ({ stop }) => stop
  )
