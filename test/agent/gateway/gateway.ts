/** A gateway and its targets on real sockets, for tests: whoever connects to `port` is at the gateway. */
import * as Http from "node:http"
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import * as Gateway from "../../../src/agent/gateway/Gateway.ts"
import { GATEWAY_ANSWER_TIMEOUT } from "../../../src/protocol/Limits.ts"
import type { GatewayRoute } from "../../../src/store/GatewayConfig.ts"
import { splice } from "../../../src/transport/ByteStream.ts"
import * as Tcp from "../../../src/transport/Tcp.ts"

export const route = (path: string, target: number, over: Partial<GatewayRoute> = {}): GatewayRoute => ({
  path,
  target,
  strip: false,
  timeout: GATEWAY_ANSWER_TIMEOUT.default,
  ...over
})

export const options = (routes: ReadonlyArray<GatewayRoute>): Gateway.GatewayOptions => ({
  machine: "barn",
  host: "127.0.0.1",
  config: { port: 8080, routes }
})

export interface Served {
  readonly gateway: Gateway.Gateway
  readonly port: number
}

/** A gateway, and a local port that leads to it as a client's does. */
export const serve = (routes: ReadonlyArray<GatewayRoute>): Effect.Effect<Served, never, Scope.Scope> =>
  Effect.gen(function* () {
    const gateway = yield* Gateway.make(options(routes))
    const run = yield* FiberSet.makeRuntime<never>()
    const { port } = yield* Tcp.listen({
      host: "127.0.0.1",
      port: 0,
      onConnection: (stream) =>
        run(
          gateway.open.pipe(
            Effect.flatMap((inner) => splice(stream, inner)),
            Effect.catchAll((reset) => Effect.sync(() => stream.reset(reset)))
          )
        )
    })
    return { gateway, port }
  }).pipe(Effect.orDie)

/** Starts a server on a port of its own; it ends with the scope, and its connections too. */
const listening = (server: Net.Server): Effect.Effect<number, never, Scope.Scope> => {
  const open = new Set<Net.Socket>()
  server.on("connection", (socket) => {
    open.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => open.delete(socket))
  })
  return Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of open) socket.destroy()
      })
  )
}

/** A target that speaks HTTP; the port it listens on. */
export const target = (
  answer: Http.RequestListener,
  prepare: (server: Http.Server) => void = () => {}
): Effect.Effect<number, never, Scope.Scope> =>
  Effect.suspend(() => {
    const server = Http.createServer(answer)
    prepare(server)
    return listening(server)
  })

/** A target that does with its connections what it likes. */
export const rawTarget = (handle: (socket: Net.Socket) => void): Effect.Effect<number, never, Scope.Scope> =>
  Effect.suspend(() => listening(Net.createServer({ allowHalfOpen: true }, handle)))

/** A port on which nothing listens, and which was free a moment ago. */
export const freshPort: Effect.Effect<number> = Effect.scoped(listening(Net.createServer()))

export interface Answer {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly rawHeaders: ReadonlyArray<string>
  readonly body: string
}

export interface Asked extends Http.RequestOptions {
  readonly port: number
  readonly body?: string | Buffer
}

/** One request as Node's client sends it, and the whole answer; fails when that breaks off. */
export const ask = ({ body, port, ...rest }: Asked): Effect.Effect<Answer, Error> =>
  Effect.async<Answer, Error>((resume) => {
    const request = Http.request({ host: "127.0.0.1", port, agent: false, ...rest }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", (error) => resume(Effect.fail(error)))
      response.on("end", () =>
        resume(
          Effect.succeed({
            status: response.statusCode ?? 0,
            headers: response.headers,
            rawHeaders: response.rawHeaders,
            body: Buffer.concat(chunks).toString()
          })
        )
      )
    })
    request.on("error", (error) => resume(Effect.fail(error)))
    request.end(body)
    return Effect.sync(() => request.destroy())
  })

/** Bytes as they are, and all that comes back until the other end closes; a reset is appended as such. */
export const say = (port: number, bytes: string | Buffer): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    let got = ""
    const socket = Net.connect({ host: "127.0.0.1", port, allowHalfOpen: true }, () => socket.write(bytes, "latin1"))
    socket.setEncoding("latin1")
    socket.on("data", (chunk: string) => (got += chunk))
    socket.on("end", () => socket.end())
    socket.on("error", (error) => (got += `[${error.message}]`))
    socket.on("close", () => resume(Effect.succeed(got)))
    return Effect.sync(() => socket.destroy())
  })

/** Everything that a request holds. */
export const bodyOf = (request: Http.IncomingMessage): Promise<string> =>
  new Promise((resolve, reject) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => resolve(Buffer.concat(chunks).toString()))
    request.on("error", reject)
  })

/** A target's answer that says what it was asked, as JSON. */
export const mirror: Http.RequestListener = (request, response) => {
  void bodyOf(request).then((body) => {
    response.setHeader("content-type", "application/json")
    response.end(JSON.stringify({ method: request.method, url: request.url, rawHeaders: request.rawHeaders, body }))
  })
}
