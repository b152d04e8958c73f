/**
 * Opens WebSockets to a hub. Messages leave with a zero masking key: what we send is ciphertext or a control message of
 * our own, so masking (RFC 6455, section 5.3) would only cost time at both ends.
 */
import type { Socket } from "node:net"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Context from "effect/Context"
import type * as Scope from "effect/Scope"
import { WebSocket } from "ws"
import { CloseCode } from "../protocol/Close.ts"
import { DIAL_TIMEOUT, MESSAGE_BYTES, MESSAGE_CHUNKS, MESSAGE_FRAGMENTS } from "../protocol/Limits.ts"
import { type Carrier, type Dial, DialError } from "./Carrier.ts"
import * as DialReason from "./DialReason.ts"
import * as Heartbeat from "./Heartbeat.ts"
import * as HubSocket from "./HubSocket.ts"
import { taken } from "./internal/memory.ts"
import * as WebSocketCarrier from "./WebSocketCarrier.ts"

/** How agents and clients reach a hub. */
export class Dialer extends Context.Tag("tela/transport/Dialer")<
  Dialer,
  {
    readonly dial: Dial
    /** Waits until every socket that is being closed is gone, which each bounds for itself. */
    readonly left: Effect.Effect<void>
  }
>() {}

const zeroMask = (mask: Buffer) => {
  mask.fill(0)
}

/** Who is told of an open WebSocket: when it opens, and when this end says goodbye on it. */
interface Watcher {
  readonly opens: (ws: WebSocket, socket: Socket) => void
  readonly leaves: (ws: WebSocket) => void
}

/** The WebSocket on a connection to the hub, as a carrier. */
const upgrade = (
  { address, proxy, url }: HubSocket.Way,
  socket: Socket,
  { leaves, opens }: Watcher,
  resume: (carrier: Effect.Effect<Carrier, DialError>) => void
): WebSocket => {
  const fail = (reason: string) => resume(new DialError({ url: address, reason, untrusted: false }))
  const ws = new WebSocket(address, {
    perMessageDeflate: false,
    generateMask: zeroMask,
    maxPayload: MESSAGE_BYTES,
    maxFragments: MESSAGE_FRAGMENTS,
    maxBufferedChunks: MESSAGE_CHUNKS,
    createConnection: () => socket
  })
  ws.on("unexpected-response", (_request, { headers, statusCode: status = 0 }) => {
    ws.terminate()
    fail(DialReason.noWebSocket(url, { status, headers }))
  })
  ws.on("error", (error) => fail(DialReason.explain(error)))
  ws.on("open", () => {
    opens(ws, socket)
    const about = { silence: DialReason.notPassed(url, proxy?.shown), leaves: () => leaves(ws) }
    resume(Effect.succeed(WebSocketCarrier.dialled(ws, socket, address, about)))
  })
  return ws
}

/** Opens a connection and the WebSocket on it, within DIAL_TIMEOUT. */
const connect = (way: HubSocket.Way, watcher: Watcher): Effect.Effect<Carrier, DialError> =>
  Effect.suspend(() => {
    let silent = () => ""
    return Effect.async<Carrier, DialError>((resume) => {
      let ws: WebSocket | undefined
      const attempt = HubSocket.open(
        way,
        (socket) => {
          ws = upgrade(way, socket, watcher, resume)
        },
        (error) => resume(error)
      )
      silent = attempt.silent
      return Effect.sync(() => {
        attempt.cancel()
        ws?.terminate()
      })
    }).pipe(
      // ws has a timeout of its own, which every byte that arrives starts anew.
      Effect.timeoutFail({
        duration: DIAL_TIMEOUT,
        onTimeout: () =>
          new DialError({
            url: way.address,
            reason: `${silent()} within ${DIAL_TIMEOUT / 1000} s; check the address and the firewall`
          })
      })
    )
  })

/**
 * Opens carriers by WebSocket; each is closed, politely first, when its own scope ends. Nobody waits for that but whoever
 * ends the dialer, or asks for {@link Dialer.left}: a program that ends sooner takes its goodbyes with it.
 */
export const make: Effect.Effect<typeof Dialer.Service, never, Heartbeat.Heartbeat | Scope.Scope> = Effect.gen(
  function* () {
    const heartbeat = yield* Heartbeat.Heartbeat
    const leaving = new Set<WebSocket>()
    const waiting = new Set<() => void>()
    const watcher: Watcher = {
      opens: (ws, socket) => heartbeat.watch(ws, () => taken(socket)),
      leaves: (ws) => {
        leaving.add(ws)
        ws.once("close", () => {
          leaving.delete(ws)
          for (const look of waiting) look()
        })
      }
    }
    const left = Effect.async<void>((resume) => {
      const look = () => {
        if (leaving.size > 0) return
        waiting.delete(look)
        resume(Effect.void)
      }
      waiting.add(look)
      look()
      return Effect.sync(() => waiting.delete(look))
    })
    yield* Effect.addFinalizer(() => left)
    const open = (url: string) =>
      Effect.gen(function* () {
        const way = yield* HubSocket.wayTo(url)
        const carrier = yield* connect(way, watcher)
        yield* way.check.suggest
        return carrier
      })
    return {
      left,
      dial: (url) =>
        Effect.uninterruptibleMask((restore) =>
          restore(open(url)).pipe(
            Effect.tap((carrier) =>
              Effect.addFinalizer(() => Effect.sync(() => carrier.close(CloseCode.goingAway, "")))
            )
          )
        )
    }
  }
)

export const layer: Layer.Layer<Dialer> = Layer.scoped(Dialer, make).pipe(Layer.provide(Heartbeat.layerDialled))
