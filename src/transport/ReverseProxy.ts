/**
 * An HTTP server that listens nowhere: connections are handed to it, and it passes their requests on to other servers, as
 * its rules say. It reads with Node's strict parser and writes each request anew, so that no two programs can read one
 * differently; WebSockets are passed through. Bounds: GATEWAY_* in Limits.ts.
 */
import * as Http from "node:http"
import type { Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import { GATEWAY_CONNECTIONS, GATEWAY_HEADER_BYTES, GATEWAY_IDLE, GATEWAY_PIPELINED } from "../protocol/Limits.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import type { ByteStream } from "./ByteStream.ts"
import * as HttpHead from "./HttpHead.ts"
import * as HttpHeaders from "./HttpHeaders.ts"
import * as InnerSocket from "./InnerSocket.ts"
import * as Exchange from "./internal/exchange.ts"
import * as Reply from "./internal/reply.ts"

export type { Forward, NoAnswer } from "./internal/exchange.ts"
export type { Page } from "./internal/reply.ts"

/** What becomes of requests. Called once each; `head` is undefined where the request could not be read. */
export interface Rules<F extends Exchange.Forward> {
  /** Where a request goes, or what is answered in place of that. */
  readonly decide: (head: HttpHead.HttpHead) => Either.Either<F, Reply.Page>
  /** The answer when the target gave none. */
  readonly failed: (head: HttpHead.HttpHead, forward: F, why: Exchange.NoAnswer) => Reply.Page
  /** The target has answered. */
  readonly answered: (forward: F) => void
  /** The answer to what cannot be passed on, wherever it would go. */
  readonly refused: (head: HttpHead.HttpHead | undefined, problem: HttpHead.HttpProblem) => Reply.Page
}

export interface ReverseProxy<F extends Exchange.Forward> {
  /** A new connection to the server; fails when it has as many as it serves. */
  readonly open: Effect.Effect<ByteStream, StreamReset>
  /** Ends, at once, whatever is under way and no longer wanted. */
  readonly review: (isWanted: (forward: F) => boolean) => void
  /** Closes what is idle, and everything else after its next answer. */
  readonly leave: () => void
  readonly connections: () => number
}

/** One connection and what is under way on it. */
interface Connection<F> {
  readonly socket: InnerSocket.InnerSocket
  /** Requests that wait for the answer to the one before. */
  readonly waiting: Array<() => void>
  /** Runs out when no request has come. */
  idle: NodeJS.Timeout | undefined
  isBusy: boolean
  /** Its last answer was sent: whatever still comes is no request. */
  isOver: boolean
  forward: F | undefined
  response: Http.ServerResponse | undefined
}

/** What Node's parser says, as a status and a sentence. */
const parserProblem = (error: Error): HttpHead.HttpProblem => {
  const code = "code" in error ? error.code : undefined
  if (code === "HPE_HEADER_OVERFLOW") {
    return { status: 431, problem: `the head of a request may have at most ${GATEWAY_HEADER_BYTES} bytes` }
  }
  const reason = "reason" in error && typeof error.reason === "string" ? error.reason : error.message
  return { status: 400, problem: `the request is malformed: ${reason}` }
}

/** What was read as a request for an upgrade, again, without it: for a server that knows of none. */
const withoutUpgrade = ({ headers, method, target, version }: HttpHead.HttpHead): string => {
  const rest = HttpHeaders.filter(headers, (name) => !["upgrade", "http2-settings", "connection"].includes(name))
  const lines = [...HttpHeaders.pairs(rest)].map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${target} HTTP/${version}\r\n${lines.join("")}\r\n`
}

/** Serves until the scope ends; then every connection is reset. */
export const make = <F extends Exchange.Forward>(rules: Rules<F>): Effect.Effect<ReverseProxy<F>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const run = yield* FiberSet.makeRuntime<never>()
    const connections = new Map<Duplex, Connection<F>>()
    let isLeaving = false
    const settings = {
      maxHeaderSize: GATEWAY_HEADER_BYTES,
      insecureHTTPParser: false,
      keepAliveTimeout: GATEWAY_IDLE,
      // HttpHead sees to it: Node would answer itself, and go on to what follows.
      requireHostHeader: false
    }
    const server = Http.createServer(settings)
    /** For upgrades to something else than WebSockets, which a server may ignore: this one does. */
    const plain = Http.createServer(settings)

    const refuse = (connection: Connection<F>, problem: HttpHead.HttpProblem) => {
      const { response, socket } = connection
      if (!socket.writable || response?.headersSent) return socket.destroy(new Error(problem.problem))
      Reply.ofSocket(socket).page(rules.refused(undefined, problem))
    }

    /** Waits for the next request. */
    const wait = (connection: Connection<F>) => {
      connection.isBusy = false
      connection.forward = undefined
      connection.response = undefined
      const next = connection.waiting.shift()
      if (next !== undefined) return next()
      if (isLeaving) return connection.socket.destroySoon()
      const { socket } = connection
      const before = socket.received
      connection.idle = setTimeout(() => {
        if (socket.received === before) return socket.destroySoon()
        const problem = `the head of the request did not come within ${GATEWAY_IDLE / 1000} s`
        refuse(connection, { status: 408, problem })
      }, GATEWAY_IDLE)
    }

    const begin = (connection: Connection<F>) => {
      clearTimeout(connection.idle)
      connection.isBusy = true
    }

    /** Decides and passes on, or answers. A bug of ours must not leave a client waiting for ever. */
    const serve = (
      connection: Connection<F>,
      head: HttpHead.HttpHead,
      reply: Reply.Reply,
      pass: (forward: F) => Effect.Effect<void, Exchange.NoAnswer>
    ): Effect.Effect<void> =>
      Effect.suspend(() => {
        const problem = HttpHead.problemOf(head)
        if (problem !== undefined) {
          reply.last()
          return Effect.sync(() => reply.page(rules.refused(head, problem)))
        }
        const decided = rules.decide(head)
        if (Either.isLeft(decided)) return Effect.sync(() => reply.page(decided.left))
        const forward = decided.right
        connection.forward = forward
        return Effect.catchAll(pass(forward), (why) => Effect.sync(() => reply.page(rules.failed(head, forward, why))))
      }).pipe(
        Effect.catchAllDefect((defect) =>
          Effect.zipRight(
            Effect.logError("a request failed", defect),
            Effect.sync(() => connection.socket.destroy(new Error("the gateway failed")))
          )
        )
      )

    const answer = (request: Http.IncomingMessage, response: Http.ServerResponse) => {
      const connection = connections.get(request.socket)
      if (connection === undefined) return request.socket.destroy()
      if (connection.isOver) return undefined
      const client = connection.socket
      const start = () => {
        begin(connection)
        connection.response = response
        if (isLeaving) response.shouldKeepAlive = false
        const head = HttpHead.of(request)
        const reply = Reply.ofResponse(response, HttpHead.hasBody(head))
        const fiber = run(
          serve(connection, head, reply, (forward) =>
            Exchange.pass({ request, response, reply, client, forward, onAnswer: () => rules.answered(forward) })
          )
        )
        response.once("close", () => {
          fiber.unsafeInterruptAsFork(FiberId.none)
          connection.isOver = !client.writable || !response.shouldKeepAlive
          if (!connection.isOver) wait(connection)
        })
      }
      if (!connection.isBusy) return start()
      if (connection.waiting.length < GATEWAY_PIPELINED) return connection.waiting.push(start)
      client.destroy(new Error(`more than ${GATEWAY_PIPELINED} requests were sent ahead of their answers`))
    }

    for (const each of [server, plain]) {
      // GATEWAY_HEADER_BYTES bounds them; beyond a number Node would leave some out.
      each.maxHeadersCount = 0
      each.on("request", answer)
      each.on("clientError", (error, socket) => {
        const connection = connections.get(socket)
        if (connection !== undefined) refuse(connection, parserProblem(error))
      })
      each.on("connect", (request, socket) => {
        const connection = connections.get(socket)
        const problem = HttpHead.problemOf(HttpHead.of(request))
        if (connection !== undefined && problem !== undefined) refuse(connection, problem)
      })
    }

    server.on("upgrade", (request, socket, start) => {
      const connection = connections.get(socket)
      if (connection === undefined || connection.isBusy) return socket.destroy(new Error("an upgrade ahead of answers"))
      const head = HttpHead.of(request)
      if (!HttpHead.isWebSocket(head)) {
        if (start.length > 0) socket.unshift(start)
        socket.unshift(withoutUpgrade(head), "latin1")
        return plain.emit("connection", socket)
      }
      begin(connection)
      const client = connection.socket
      const reply = Reply.ofSocket(client)
      run(
        serve(connection, head, reply, (forward) =>
          Exchange.upgrade({ client, reply, start, forward, onAnswer: () => rules.answered(forward) })
        )
      )
    })

    const enter = (socket: InnerSocket.InnerSocket) => {
      const connection: Connection<F> = {
        socket,
        waiting: [],
        idle: undefined,
        isBusy: false,
        isOver: false,
        forward: undefined,
        response: undefined
      }
      connections.set(socket, connection)
      socket.once("close", () => {
        clearTimeout(connection.idle)
        connection.waiting.length = 0
        connections.delete(socket)
      })
      wait(connection)
    }

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const { socket } of connections.values()) socket.destroy(new Error("the gateway has stopped"))
      })
    )

    return {
      open: Effect.suspend(() => {
        if (connections.size >= GATEWAY_CONNECTIONS) {
          const reason = `the gateway has ${GATEWAY_CONNECTIONS} connections, and takes no more`
          return new StreamReset({ code: ResetCode.busy, reason })
        }
        const { socket, stream } = InnerSocket.make()
        enter(socket)
        server.emit("connection", socket)
        return Effect.succeed(stream)
      }),
      review: (isWanted) => {
        for (const { forward, socket } of connections.values()) {
          if (forward !== undefined && !isWanted(forward)) socket.destroy(new Error("its route has been removed"))
        }
      },
      leave: () => {
        isLeaving = true
        for (const { isBusy, response, socket } of connections.values()) {
          if (!isBusy) socket.destroySoon()
          else if (response !== undefined) response.shouldKeepAlive = false
        }
      },
      connections: () => connections.size
    }
  })
