/**
 * A carrier over a WebSocket of the `ws` package. Backpressure both ways: reading pauses the socket, and a sender above
 * CARRIER_HIGH_WATER waits for the TCP socket's own drain.
 */
import type { Socket } from "node:net"
import type { RawData, WebSocket } from "ws"
import { CloseCode, closeReason } from "../protocol/Close.ts"
import { CARRIER_HIGH_WATER, CARRIER_LIMIT, CLOSE_TIMEOUT, REVOKED_RESET } from "../protocol/Limits.ts"
import { type Carrier, CarrierClosed, type CarrierReceiver } from "./Carrier.ts"
import { unsent } from "./internal/memory.ts"
import * as Slices from "./Slices.ts"

/** Resets of this program's sockets: one revoked token may have had thousands. */
const resets = Slices.make()

/** `ws` hands out one Buffer a message unless told otherwise, and we never do. */
const bytes = (data: RawData): Buffer =>
  Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data)

class WebSocketCarrier implements Carrier {
  readonly peer: string
  readonly #ws: WebSocket
  readonly #socket: Socket
  readonly #tcp: Socket | undefined
  #receiver: CarrierReceiver | undefined
  #closed: CarrierClosed | undefined
  #waiting = false

  constructor(ws: WebSocket, socket: Socket, peer: string, tcp: Socket | undefined) {
    this.peer = peer
    this.#ws = ws
    this.#socket = socket
    this.#tcp = tcp
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
      this.#closed = new CarrierClosed({ code, reason: reason.toString() })
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
    if (!this.#sayGoodbye(code, reason)) return
    setTimeout(() => this.#ws.terminate(), CLOSE_TIMEOUT).unref()
  }

  revoke(code: number, reason: string) {
    if (!this.#sayGoodbye(code, reason)) return
    const reset = () => {
      // A socket that is only destroyed leaves to the system what it has taken, and the system delivers it.
      this.#tcp?.resetAndDestroy()
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
  new WebSocketCarrier(ws, socket, peer, tcp)
