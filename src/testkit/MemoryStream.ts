/**
 * Byte streams in memory, in joined pairs: the local program's end and what is behind it, without a socket. Each direction
 * ends on its own, resets stay resets, and a writer ahead of its reader is asked to wait.
 */
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import { SOCKET_SEND_QUEUE } from "../protocol/Limits.ts"
import type { ByteStream, ByteStreamHandlers } from "../transport/ByteStream.ts"

class MemoryStream implements ByteStream {
  /** Itself until {@link pair} joins two. */
  other: MemoryStream
  #handlers: ByteStreamHandlers | undefined
  #paused = false
  /** What this end was sent and has not delivered yet. */
  #queue: Array<Uint8Array> = []
  #queued = 0
  /** The other end has written its last. */
  #finishing = false
  #ended = false
  #finished = false
  #waiting = false
  #reset: StreamReset | undefined
  #closed = false
  #scheduled = false

  constructor() {
    this.other = this
  }

  write(chunk: Uint8Array) {
    if (this.#finished || this.#reset !== undefined) return true
    const { other } = this
    other.#queue.push(Uint8Array.from(chunk))
    other.#queued += chunk.length
    other.#schedule()
    if (other.#queued < SOCKET_SEND_QUEUE) return true
    this.#waiting = true
    return false
  }

  end() {
    if (this.#finished || this.#reset !== undefined) return
    this.#finished = true
    this.other.#finishing = true
    this.other.#schedule()
    this.#schedule()
  }

  reset(reason: StreamReset) {
    if (this.#closed || this.#reset !== undefined) return
    this.#fail(reason)
    this.other.#fail(new StreamReset({ code: ResetCode.cancelled, reason: "connection lost: reset by the other end" }))
  }

  pause() {
    this.#paused = true
  }

  resume() {
    this.#paused = false
    this.#schedule()
  }

  attach(handlers: ByteStreamHandlers) {
    this.#handlers = handlers
    this.#schedule()
  }

  #fail(reason: StreamReset) {
    if (this.#closed) return
    this.#reset ??= reason
    this.#queue = []
    this.#queued = 0
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

  /** One thing at a time, so that whoever is called can pause or reset. */
  #deliver() {
    const handlers = this.#handlers
    if (handlers === undefined || this.#closed) return
    if (this.#reset !== undefined) return this.#close(handlers)
    if (!this.#paused) {
      const chunk = this.#queue.shift()
      if (chunk !== undefined) {
        this.#queued -= chunk.length
        handlers.data(chunk)
        this.other.#drainIfDue()
        return this.#schedule()
      }
      if (this.#finishing && !this.#ended) {
        this.#ended = true
        handlers.end()
      }
    }
    if (this.#ended && this.#finished) this.#close(handlers)
  }

  #drainIfDue() {
    if (!this.#waiting || this.other.#queued > 0) return
    this.#waiting = false
    this.#handlers?.drain()
  }

  #close(handlers: ByteStreamHandlers) {
    this.#closed = true
    handlers.closed(this.#reset)
  }
}

/** Two ends of one connection. */
export const pair = (): readonly [ByteStream, ByteStream] => {
  const near = new MemoryStream()
  const far = new MemoryStream()
  near.other = far
  far.other = near
  return [near, far]
}
