/**
 * One request passed on over a connection of its own, and its answer passed back. A connection to a target carries one
 * request, so that nothing of one can become part of another. Bodies stream with backpressure in both directions; an
 * answer that breaks off is a reset for the client, never an end.
 */
import * as Http from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { GATEWAY_HEADER_BYTES, TARGET_DIAL_TIMEOUT, TCP_KEEP_ALIVE_DELAY } from "../../protocol/Limits.ts"
import { ResetCode, StreamReset } from "../../protocol/StreamReset.ts"
import * as HttpHead from "../HttpHead.ts"
import * as HttpHeaders from "../HttpHeaders.ts"
import type { InnerSocket } from "../InnerSocket.ts"
import { dial } from "./dial.ts"
import * as Reply from "./reply.ts"

/** Where a request goes, and as what. */
export interface Forward {
  readonly host: string
  readonly port: number
  /** Path and query. */
  readonly path: string
  /** What the target is told, without the headers of this hop. */
  readonly headers: HttpHeaders.RawHeaders
  /** How long the target may take, in milliseconds. */
  readonly timeout: number
}

/**
 * Why there is no answer to pass back: the target could not be reached; it was, and said nothing in time; it broke off,
 * or spoke no HTTP; or the client has stopped sending its request. The reason names the target and is a sentence without
 * its end.
 */
export class NoAnswer extends Data.TaggedError("NoAnswer")<{
  readonly kind: "unreachable" | "silent" | "broken" | "stalled"
  readonly reason: string
}> {}

const ignore = () => {}

const gone = (reason: string) => new StreamReset({ code: ResetCode.cancelled, reason })

const unreachable = ({ code, reason }: StreamReset) =>
  new NoAnswer({ kind: code === ResetCode.timeout ? "silent" : "unreachable", reason })

/** Connects to the target, and is done with it in any case when `use` is over. */
const over = <A>(forward: Forward, use: (target: Socket) => Effect.Effect<A, NoAnswer>): Effect.Effect<A, NoAnswer> =>
  Effect.suspend(() => {
    let target: Socket | undefined
    const connect = dial({ host: forward.host, port: forward.port, timeout: TARGET_DIAL_TIMEOUT }, (socket) => {
      target = socket
      socket.setNoDelay(true)
      // Finds a host that vanishes while neither side says anything, as WebSockets and event streams do.
      socket.setKeepAlive(true, TCP_KEEP_ALIVE_DELAY)
      // Between two users of the socket an error would have nobody who listens.
      socket.on("error", ignore)
      return socket
    })
    return Effect.flatMap(Effect.mapError(connect, unreachable), use).pipe(
      // What is broken off here is no end for the target.
      Effect.onExit((exit) => Effect.sync(() => (Exit.isSuccess(exit) ? target?.destroy() : target?.resetAndDestroy())))
    )
  })

/** Begins a request. `failed` is called when it comes to nothing, and may be once more after an answer. */
const begin = (
  target: Socket,
  forward: Forward,
  sent: { readonly method: string; readonly framing: HttpHeaders.RawHeaders },
  failed: (kind: NoAnswer["kind"], reason: string) => void
) => {
  const where = `${forward.host}:${forward.port}`
  const outgoing = Http.request({
    createConnection: () => target,
    method: sent.method,
    path: forward.path,
    headers: [...forward.headers, ...sent.framing],
    maxHeaderSize: GATEWAY_HEADER_BYTES,
    insecureHTTPParser: false
  })
  // GATEWAY_HEADER_BYTES bounds them; beyond a number Node would leave some out.
  outgoing.maxHeadersCount = 0
  // The socket was paused until somebody listens.
  outgoing.once("socket", (socket) => socket.resume())
  outgoing.on("error", (error) => failed("broken", `${where} broke off: ${error.message}`))
  outgoing.once("close", () => failed("broken", `${where} closed the connection without an answer`))
  return outgoing
}

/** Passes an answer's head and body on; the other result is why it cannot be. */
const relay = (
  incoming: Http.IncomingMessage,
  target: Socket,
  reply: Reply.Reply,
  client: Duplex
): Either.Either<void, string> => {
  const codings = HttpHeaders.listOf(incoming.rawHeaders, "transfer-encoding")
  // A coding beside chunked would be lost on the way back.
  if (codings.some((coding) => coding !== "chunked")) return Either.left("answers in a transfer coding it may not use")
  const begun = Either.try({
    try: () => reply.begin(incoming.statusCode ?? 502, HttpHeaders.endToEnd(incoming.rawHeaders)),
    catch: () => "answers with headers that cannot be passed on"
  })
  const breakOff = () => {
    if (!incoming.complete) client.destroy(gone("the target broke off its answer"))
  }
  return Either.map(begun, (body) => {
    incoming.on("error", ignore)
    incoming.once("close", breakOff)
    // Before Node takes the loss of the connection for the end of an answer that has no other end.
    target.prependOnceListener("error", breakOff)
    incoming.pipe(body)
  })
}

/**
 * Passes a request on; done when its answer has been handed over, or fails when no answer can be. `onAnswer` is called as
 * soon as there is one.
 */
export const pass = (options: {
  readonly request: Http.IncomingMessage
  readonly response: Http.ServerResponse
  readonly reply: Reply.Reply
  readonly client: Duplex
  readonly forward: Forward
  readonly onAnswer: () => void
}): Effect.Effect<void, NoAnswer> =>
  over(options.forward, (target) =>
    Effect.async<void, NoAnswer>((resume) => {
      const { client, forward, onAnswer, reply, request, response } = options
      const head = HttpHead.of(request)
      const hasBody = HttpHead.hasBody(head)
      let isAnswered = false
      const failed = (kind: NoAnswer["kind"], reason: string) => {
        if (isAnswered) return
        stop()
        resume(Effect.fail(new NoAnswer({ kind, reason })))
      }
      const framing = ["Connection", "close", ...HttpHead.framing(head)]
      const outgoing = begin(target, forward, { method: head.method, framing }, failed)

      const timer = setTimeout(() => {
        const where = `${forward.host}:${forward.port}`
        const time = `within ${forward.timeout / 1000} s`
        if (request.complete || outgoing.writableNeedDrain) failed("silent", `${where} did not answer ${time}`)
        else failed("stalled", `the rest of the request did not come ${time}`)
      }, forward.timeout)
      const progress = () => timer.refresh()
      const stop = () => {
        isAnswered = true
        clearTimeout(timer)
        request.off("data", progress).unpipe(outgoing)
        request.resume()
      }

      outgoing.once("response", (incoming) => {
        if (isAnswered) return
        const relayed = relay(incoming, target, reply, client)
        if (Either.isLeft(relayed)) return failed("broken", `${forward.host}:${forward.port} ${relayed.left}`)
        isAnswered = true
        clearTimeout(timer)
        request.off("data", progress)
        onAnswer()
      })
      response.once("close", () => {
        stop()
        resume(response.writableFinished ? Effect.void : Effect.interrupt)
      })
      if (hasBody) {
        request.on("data", progress)
        request.pipe(outgoing)
      } else outgoing.end()
      return Effect.sync(stop)
    })
  )

/** Joins a WebSocket's two connections until both are over; `done` is called then. What one loses, the other loses. */
const join = (client: Duplex, target: Socket, done: () => void): void => {
  let open = 2
  const follow = (from: Duplex, to: Duplex, lose: () => void) => {
    from.pipe(to)
    from.once("close", () => {
      if (from.errored !== null || !from.readableEnded || !from.writableFinished) lose()
      if (--open === 0) done()
    })
  }
  follow(client, target, () => target.resetAndDestroy())
  follow(target, client, () => client.destroy(gone("the target is gone")))
}

/** As {@link pass}, for a request that asks for a WebSocket: once the target agrees, bytes pass both ways until the end. */
export const upgrade = (options: {
  readonly client: InnerSocket
  readonly reply: Reply.Reply
  /** What the client sent after its request. */
  readonly start: Buffer
  readonly forward: Forward
  readonly onAnswer: () => void
}): Effect.Effect<void, NoAnswer> =>
  over(options.forward, (target) =>
    Effect.async<void, NoAnswer>((resume) => {
      const { client, forward, onAnswer, reply, start } = options
      const where = `${forward.host}:${forward.port}`
      let isAnswered = false
      const failed = (kind: NoAnswer["kind"], reason: string) => {
        if (isAnswered) return
        stop()
        resume(Effect.fail(new NoAnswer({ kind, reason })))
      }
      const asked = ["Connection", "Upgrade", "Upgrade", "websocket"]
      const outgoing = begin(target, forward, { method: "GET", framing: asked }, failed)
      const late = () => failed("silent", `${where} did not answer within ${forward.timeout / 1000} s`)
      const timer = setTimeout(late, forward.timeout)
      const left = () => resume(client.writableFinished ? Effect.void : Effect.interrupt)
      const stop = () => {
        isAnswered = true
        clearTimeout(timer)
        client.off("close", left)
      }

      if (client.destroyed) return resume(Effect.interrupt)
      client.once("close", left)
      outgoing.once("response", (incoming) => {
        if (isAnswered) return
        const relayed = relay(incoming, target, reply, client)
        if (Either.isLeft(relayed)) return failed("broken", `${where} ${relayed.left}`)
        isAnswered = true
        clearTimeout(timer)
        onAnswer()
      })
      outgoing.once("upgrade", (incoming, _socket, first) => {
        if (isAnswered) return
        isAnswered = true
        clearTimeout(timer)
        client.off("close", left)
        onAnswer()
        client.write(Reply.head(101, [...HttpHeaders.endToEnd(incoming.rawHeaders), ...asked]), "latin1")
        if (first.length > 0) client.write(first)
        if (start.length > 0) target.write(start)
        join(client, target, () => resume(Effect.void))
      })
      outgoing.end()
      return Effect.sync(stop)
    })
  )
