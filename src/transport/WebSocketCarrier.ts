/**
 * A carrier over a WebSocket of the `ws` package. Backpressure both ways: reading pauses the socket, and a sender above
 * CARRIER_HIGH_WATER waits for the TCP socket's own drain.
 */
import type { Socket } from "node:net"
import type { RawData, WebSocket } from "ws"
import { CloseCode, closeReason } from "../protocol/Close.ts"
import {
  CARRIER_HIGH_WATER,
  CARRIER_LIMIT,
  CLOSE_TIMEOUT,
  DIALLED_DEAD_AFTER,
  REVOKED_RESET
} from "../protocol/Limits.ts"
import { type Carrier, CarrierClosed, type CarrierReceiver } from "./Carrier.ts"
import { endOf } from "./internal/leaving.ts"
import { unsent } from "./internal/memory.ts"
import * as Slices from "./Slices.ts"

/** Resets of this program's sockets: one revoked token may have had thousands. */
const resets = Slices.make()

/** `ws` hands out one Buffer a message unless told otherwise, and we never do. */
const bytes = (data: RawData): Buffer =>
  Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data)

/** Whether nothing ever came on a WebSocket that has vanished, though it was asked, or what came was none: then `silence`. */
const whySilent = (ws: WebSocket, silence: string): (() => string) => {
  const opened = performance.now()
  let heard = false
  let isBroken = false
  const hear = () => {
    heard = true
  }
  for (const event of ["message", "ping", "pong"] as const) ws.once(event, hear)
  ws.on("error", (error) => {
    isBroken = "code" in error && String(error.code).startsWith("WS_ERR_")
  })
  return () => (!heard && (isBroken || performance.now() - opened >= DIALLED_DEAD_AFTER) ? silence : "")
}

/** What differs between a socket that was accepted and one that was dialled. */
interface About {
  /** The TCP socket at the bottom, where it is known: only that one can be reset. */
  readonly tcp?: Socket | undefined
  readonly dialled?: Dialled | undefined
}

/** What is said of a socket that was dialled. */
export interface Dialled {
  /** Why it ended, if nothing ever arrived on it. */
  readonly silence: string
  /** Called once, when this end says goodbye. */
  readonly leaves: () => void
}

class WebSocketCarrier implements Carrier {
  readonly peer: string
  readonly #ws: WebSocket
  readonly #socket: Socket
  readonly #about: About
  #receiver: CarrierReceiver | undefined
  #closed: CarrierClosed | undefined
  #waiting = false
  #closing = false

  constructor(ws: WebSocket, socket: Socket, peer: string, about: About) {
    this.peer = peer
    this.#ws = ws
    this.#socket = socket
    this.#about = about
    const { dialled } = about
    const why = dialled === undefined ? () => "" : whySilent(ws, dialled.silence)
    ws.pause()
    socket.setNoDelay(true)
    socket.on("drain", () => {
      if (!this.#waiting) return
      this.#waiting = false
      this.#receiver?.drain()
    })
    ws.on("message", (data, isBinary) => {
      if (isBinary) this.#receiver?.binary(bytes(data))
      else this.#receiver?.text(bytes(data).toString())
    })
    // Always followed by "close".
    ws.on("error", () => {})
    ws.on("close", (code, reason) => {
      this.#closed = new CarrierClosed({ code, reason: code === CloseCode.abnormal ? why() : reason.toString() })
      this.#receiver?.closed(this.#closed)
      this.#receiver = undefined
    })
  }

  get buffered() {
    return unsent(this.#ws, this.#socket)
  }

  get isClosed() {
    return this.#ws.readyState !== this.#ws.OPEN
  }

  send(message: Uint8Array) {
    return this.#send(message, true)
  }

  sendText(message: string) {
    return this.#send(message, false)
  }

  #send(message: Uint8Array | string, binary: boolean) {
    if (this.isClosed) return true
    this.#ws.send(message, { binary })
    const { buffered } = this
    if (buffered < CARRIER_HIGH_WATER) return true
    // Only someone who asks and does not read the answers comes here: whoever moves data waits for the drain.
    if (buffered > CARRIER_LIMIT) this.#ws.terminate()
    this.#waiting = true
    return false
  }

  receive(receiver: CarrierReceiver) {
    if (this.#closed !== undefined) return receiver.closed(this.#closed)
    const first = this.#receiver === undefined
    this.#receiver = receiver
    if (first) this.#ws.resume()
  }

  pause() {
    this.#ws.pause()
  }

  resume() {
    this.#ws.resume()
  }

  close(code: number, reason: string) {
    if (!this.#sayGoodbye(code, reason) || this.#closing) return
    this.#closing = true
    const { dialled } = this.#about
    if (dialled !== undefined) {
      dialled.leaves()
      endOf(this.#ws, this.#socket)
    } else setTimeout(() => this.#ws.terminate(), CLOSE_TIMEOUT).unref()
  }

  revoke(code: number, reason: string) {
    if (!this.#sayGoodbye(code, reason)) return
    const reset = () => {
      // A socket that is only destroyed leaves to the system what it has taken, and the system delivers it.
      this.#about.tcp?.resetAndDestroy()
      this.#ws.terminate()
    }
    setTimeout(() => resets(reset), REVOKED_RESET)
  }

  #sayGoodbye(code: number, reason: string): boolean {
    if (this.#ws.readyState === this.#ws.CLOSED) return false
    // A paused socket would never read the peer's answer.
    this.#ws.resume()
    this.#ws.close(code === CloseCode.abnormal ? CloseCode.goingAway : code, closeReason(reason))
    return true
  }

  terminate() {
    this.#ws.terminate()
  }
}

/**
 * Wraps an open WebSocket and the TCP or TLS socket under it; reads nothing until someone receives. `tcp` is the TCP
 * socket at the bottom, where it is known: only that one can be reset.
 */
export const make = (ws: WebSocket, socket: Socket, peer: string, tcp?: Socket): Carrier =>
  new WebSocketCarrier(ws, socket, peer, { tcp })

/** The same for a socket that was dialled, whose goodbye may take LEAVE_MOST. */
export const dialled = (ws: WebSocket, socket: Socket, peer: string, about: Dialled): Carrier =>
  new WebSocketCarrier(ws, socket, peer, { dialled: about })
