/**
 * The in-memory twin of a WebSocket carrier: a pair whose ends hand messages to each other, with the same backpressure.
 * Delivery happens in microtasks, one message at a time, so that a receiver never runs inside a sender's call.
 */
import { CloseCode } from "../protocol/Close.ts"
import { CARRIER_HIGH_WATER, CARRIER_LIMIT, REVOKED_RESET } from "../protocol/Limits.ts"
import { type Carrier, CarrierClosed, type CarrierReceiver } from "./Carrier.ts"

type Message = Uint8Array | string

class MemoryCarrier implements Carrier {
  readonly peer: string
  /** Itself until {@link pair} joins two. */
  other: MemoryCarrier
  #receiver: CarrierReceiver | undefined
  #paused = false
  /** Messages this end was sent and has not delivered yet. */
  readonly #queue: Array<Message> = []
  #queued = 0
  #ending: CarrierClosed | undefined
  #closed = false
  #scheduled = false
  #waiting = false

  constructor(peer: string) {
    this.peer = peer
    this.other = this
  }

  get buffered() {
    return this.other.#queued
  }

  get isClosed() {
    return this.#closed || this.#ending !== undefined
  }

  send(message: Uint8Array) {
    return this.#send(Uint8Array.from(message))
  }

  sendText(message: string) {
    return this.#send(message)
  }

  #send(message: Message) {
    if (this.isClosed) return true
    this.other.#queue.push(message)
    this.other.#queued += message.length
    this.other.#schedule()
    if (this.buffered < CARRIER_HIGH_WATER) return true
    if (this.buffered > CARRIER_LIMIT) this.terminate()
    this.#waiting = true
    return false
  }

  receive(receiver: CarrierReceiver) {
    this.#receiver = receiver
    if (this.#closed) receiver.closed(this.#ending ?? new CarrierClosed({ code: CloseCode.abnormal, reason: "" }))
    else this.#schedule()
  }

  pause() {
    this.#paused = true
  }

  resume() {
    this.#paused = false
    this.#schedule()
  }

  close(code: number, reason: string) {
    this.#paused = false
    this.#end(code, reason)
    this.other.#end(code, reason)
  }

  revoke(code: number, reason: string) {
    this.close(code, reason)
    setTimeout(() => this.other.#drop(), REVOKED_RESET)
  }

  /** What this end was sent is lost, and the peer sees a connection that vanished. */
  terminate() {
    this.#drop()
    this.#end(CloseCode.abnormal, "")
    this.other.#end(CloseCode.abnormal, "")
  }

  #drop() {
    this.#queue.length = 0
    this.#queued = 0
    this.#schedule()
  }

  #end(code: number, reason: string) {
    if (this.isClosed) return
    this.#ending = new CarrierClosed({ code, reason })
    this.#schedule()
  }

  #schedule() {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#deliver()
    })
  }

  #deliver() {
    if (this.#receiver === undefined || this.#closed) return
    if (!this.#paused && this.#queue.length > 0) {
      const message = this.#queue.shift()
      if (message !== undefined) {
        this.#queued -= message.length
        if (typeof message === "string") this.#receiver.text(message)
        else this.#receiver.binary(message)
      }
      if (this.#queued === 0 && this.other.#waiting) {
        this.other.#waiting = false
        this.other.#receiver?.drain()
      }
      return this.#schedule()
    }
    if (this.#ending !== undefined && this.#queue.length === 0) {
      this.#closed = true
      this.#receiver.closed(this.#ending)
    }
  }
}

/** Two ends of one connection, each labelled with what the other side is called. */
export const pair = (left = "left", right = "right"): readonly [Carrier, Carrier] => {
  const a = new MemoryCarrier(right)
  const b = new MemoryCarrier(left)
  a.other = b
  b.other = a
  return [a, b]
}
