/**
 * A connection that never leaves this process. One end is a byte stream, as the tunnel has them; the other is what Node's
 * HTTP takes for a socket. Both directions end on their own, resets stay resets, and a slow reader pauses its writer.
 */
import { Duplex } from "node:stream"
import { SOCKET_SEND_QUEUE } from "../protocol/Limits.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import type { ByteStream, ByteStreamHandlers } from "./ByteStream.ts"

type Done = (error?: Error | null) => void

/** The end for Node. Destroyed with an error, or before it has written its end, it is a reset at the other end. */
export class InnerSocket extends Duplex {
  readonly #stream: InnerStream
  /** Bytes that have come in so far. */
  received = 0

  constructor(stream: InnerStream) {
    super({ readableHighWaterMark: SOCKET_SEND_QUEUE, writableHighWaterMark: SOCKET_SEND_QUEUE })
    this.#stream = stream
    this.on("error", () => {})
    this.on("close", () => stream.onClosed())
  }

  /** Sends what is written, and its end; then nothing is read any more. Node's HTTP ends a connection so. */
  destroySoon() {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once("finish", () => this.destroy())
  }

  override _read() {
    this.#stream.onRead()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done) {
    this.#stream.onWritten(chunk, done)
  }

  override _final(done: Done) {
    this.#stream.onFinished(done)
  }
}

class InnerStream implements ByteStream {
  readonly socket = new InnerSocket(this)
  #handlers: ByteStreamHandlers | undefined
  /** What Node's end has written and nobody has taken: one chunk, or the end. */
  #waiting: (() => void) | undefined
  #isPaused = false
  #wantsDrain = false
  #isEnded = false
  #reset: StreamReset | undefined

  // ---- the byte stream

  write(chunk: Uint8Array) {
    // Who has answered and closed reads no more; what still comes is dropped, and not paused for ever.
    if (this.#isEnded || this.socket.destroyed || chunk.length === 0) return true
    this.socket.received += chunk.length
    this.#wantsDrain = !this.socket.push(chunk)
    return !this.#wantsDrain
  }

  end() {
    if (this.#isEnded || this.socket.destroyed) return
    this.#isEnded = true
    this.socket.push(null)
  }

  reset(reason: StreamReset) {
    if (this.socket.destroyed) return
    this.#reset ??= reason
    this.socket.destroy(reason)
  }

  pause() {
    this.#isPaused = true
  }

  resume() {
    this.#isPaused = false
    const next = this.#waiting
    this.#waiting = undefined
    next?.()
  }

  attach(handlers: ByteStreamHandlers) {
    this.#handlers = handlers
    if (this.socket.closed) handlers.closed(this.#reset)
    else if (!this.#isPaused) this.resume()
  }

  // ---- Node's end

  onRead() {
    if (!this.#wantsDrain) return
    this.#wantsDrain = false
    this.#handlers?.drain()
  }

  onWritten(chunk: Buffer, done: Done) {
    const handlers = this.#handlers
    if (handlers === undefined || this.#isPaused) {
      this.#waiting = () => this.onWritten(chunk, done)
      return
    }
    handlers.data(chunk)
    // Whoever took it may have asked for a pause: then it counts as written when there is room again.
    if (this.#isAskedToWait()) this.#waiting = () => done()
    else done()
  }

  onFinished(done: Done) {
    const handlers = this.#handlers
    if (handlers === undefined || this.#isPaused) {
      this.#waiting = () => this.onFinished(done)
      return
    }
    handlers.end()
    done()
  }

  onClosed() {
    this.#waiting = undefined
    if (this.socket.errored !== null || !this.socket.writableFinished) {
      const reason = this.socket.errored?.message ?? "closed before its end"
      this.#reset ??= new StreamReset({ code: ResetCode.cancelled, reason })
    }
    this.#handlers?.closed(this.#reset)
  }

  #isAskedToWait() {
    return this.#isPaused
  }
}

/** Both ends of a new connection. */
export const make = (): { readonly stream: ByteStream; readonly socket: InnerSocket } => {
  const stream = new InnerStream()
  return { stream, socket: stream.socket }
}
