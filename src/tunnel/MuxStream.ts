/**
 * One stream of the tunnel, from the opening to the end of both directions (docs/protocol.md, "Streams"). It queues what
 * the local side writes until the mux sends it, and what the peer sends until the local side takes it; the first is
 * bounded by backpressure, the second by credit.
 */
import {
  LINGERING_STREAM_BYTES,
  PIECE_BYTES,
  RECORD_DATA_BYTES,
  SMALL_CHUNK,
  STREAM_SEND_QUEUE
} from "../protocol/Limits.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import type { ByteStream, ByteStreamHandlers } from "../transport/ByteStream.ts"
import { compact } from "../transport/Bytes.ts"
import { ChunkQueue } from "./ChunkQueue.ts"
import { type CreditPool, ReceiveCredit } from "./Credit.ts"
import * as Frames from "./Frames.ts"
import type { Linger } from "./KeepBudget.ts"
import type { RecordBuilder } from "./RecordBuilder.ts"

/** What a stream needs of its mux. */
export interface StreamHost {
  readonly credit: CreditPool
  /** Whether anything can leave at this time. */
  readonly isAttached: () => boolean
  /** Takes memory for what is written while nothing can leave; false when there is none. */
  readonly wait: (bytes: number) => boolean
  /** The stream has something to send; `sparse` when it is little and nothing waited before. */
  readonly ready: (stream: MuxStream, sparse: boolean) => void
  /** The reader has taken enough for a new limit to be told. */
  readonly creditDue: (stream: MuxStream) => void
  /** Both directions are over; a local reset is to be told to the peer. */
  readonly ended: (stream: MuxStream, tell: StreamReset | undefined) => void
}

export class MuxStream implements ByteStream {
  readonly id: number
  readonly #host: StreamHost
  readonly #toSend = new ChunkQueue()
  readonly #toDeliver = new ChunkQueue()
  readonly #receive: ReceiveCredit
  #handlers: ByteStreamHandlers | undefined
  #sent = 0
  #sendLimit = 0
  #paused = false
  #delivering = false
  #wantsDrain = false
  #finAsked = false
  #finSent = false
  #finReceived = false
  #finDelivered = false
  #ended = false
  #reset: StreamReset | undefined
  /** Why the link has gone, while the rest of what the peer had finished is delivered. */
  #lost: StreamReset | undefined
  /** Gives back the memory of that rest. */
  #release = () => {}
  /** In one of the mux's rings. */
  queued = false
  /** When it last sent more than a small chunk at a time. */
  bulkAt = Number.NEGATIVE_INFINITY

  constructor(id: number, host: StreamHost) {
    this.id = id
    this.#host = host
    this.#receive = new ReceiveCredit(host.credit)
  }

  /** Credit that the peer has from us: told in open or accept, and in credit frames. */
  get receiveLimit(): number {
    return this.#receive.limit
  }

  get unsent(): number {
    return this.#toSend.bytes
  }

  get undelivered(): number {
    return this.#toDeliver.bytes
  }

  /** Makes what it holds as small as that is, for a long wait. Bytes of memory that it takes then. */
  settle(): number {
    return this.#toSend.settle() + this.#toDeliver.settle()
  }

  get isEnded(): boolean {
    return this.#ended
  }

  // ---- the local side

  attach(handlers: ByteStreamHandlers): void {
    this.#handlers = handlers
    if (this.#ended) handlers.closed(this.#reset)
    else this.#deliver()
  }

  write(chunk: Uint8Array): boolean {
    if (this.#ended || this.#finAsked || this.#lost !== undefined) return true
    if (!this.#host.isAttached() && !this.#host.wait(chunk.length + PIECE_BYTES)) {
      this.reset(new StreamReset({ code: ResetCode.busy, reason: "too much waits for the connection to come back" }))
      return true
    }
    const sparse = this.#toSend.bytes === 0 && chunk.length <= SMALL_CHUNK
    this.#toSend.push(chunk)
    if (this.#sent < this.#sendLimit) this.#host.ready(this, sparse)
    if (this.#toSend.bytes < STREAM_SEND_QUEUE && this.#host.isAttached()) return true
    this.#wantsDrain = true
    return false
  }

  end(): void {
    if (this.#ended || this.#finAsked) return
    this.#finAsked = true
    this.#host.ready(this, this.#toSend.bytes === 0)
  }

  reset(reason: StreamReset): void {
    this.#end(reason, reason)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#deliver()
  }

  // ---- the mux

  /** Moves one chunk at most into the record. Returns the data bytes moved, or -1 when the next chunk needs another record. */
  fill(record: RecordBuilder): number {
    const credit = this.#sendLimit - this.#sent
    const most = Math.min(credit, record.limit)
    // A chunk is cut by credit, never by what other streams have left of the record.
    if (record.hasData && Math.min(this.#toSend.next, most) > record.dataRoom) return -1
    const chunk = credit > 0 ? this.#toSend.take(most) : undefined
    if (chunk !== undefined) {
      record.addData(this.id, chunk)
      this.#sent += chunk.length
    }
    if (this.#finAsked && !this.#finSent && this.#toSend.bytes === 0) {
      record.add(Frames.frame(Frames.Type.fin, this.id, new Uint8Array(0)))
      this.#finSent = true
      this.#endIfBothFinished()
    }
    return chunk?.length ?? 0
  }

  /** Whether a further {@link fill} would move something. */
  get hasMore(): boolean {
    return this.#toSend.bytes > 0 && this.#sent < this.#sendLimit
  }

  /** Tells a waiting writer that there is room again. */
  drainIfDue(): void {
    if (!this.#wantsDrain || this.#toSend.bytes > STREAM_SEND_QUEUE / 2) return
    this.#wantsDrain = false
    this.#handlers?.drain()
  }

  /** The peer allows bytes up to `limit` in all. */
  onCredit(limit: number): void {
    if (limit <= this.#sendLimit) return
    this.#sendLimit = limit
    if (this.#toSend.bytes > 0 && this.#sent < limit) this.#host.ready(this, false)
  }

  /** False when the peer sends beyond its credit or after its fin. */
  onData(chunk: Uint8Array): boolean {
    if (this.#finReceived || !this.#receive.receive(chunk.length)) return false
    if (this.#handlers === undefined || this.#paused || this.#delivering || this.#toDeliver.bytes > 0) {
      this.#toDeliver.push(chunk)
      return true
    }
    this.#hand(chunk, this.#handlers)
    return true
  }

  onFin(): void {
    this.#finReceived = true
    this.#deliver()
  }

  onReset(reason: StreamReset): void {
    this.#end(reason, undefined)
  }

  /**
   * The link has gone. What the peer had finished is delivered to its end, since the peer counts it as delivered, if there is
   * memory for as long as that takes; all else is reset at once.
   */
  onLost(reason: StreamReset, linger: Linger): void {
    if (this.#ended) return
    if (!this.#finReceived || this.#finDelivered) return this.#end(reason, undefined)
    this.#toSend.clear()
    const release = linger(this.settle() + LINGERING_STREAM_BYTES)
    if (release === undefined) {
      return this.#end(lost(`${reason.reason}; and too much has yet to be delivered`), undefined)
    }
    this.#release = release
    this.#lost = reason
    this.#deliver()
  }

  // ---- inside

  #hand(chunk: Uint8Array, handlers: ByteStreamHandlers) {
    handlers.data(compact(chunk))
    if (!this.#ended && this.#receive.consume(chunk.length)) this.#host.creditDue(this)
  }

  #deliver() {
    const handlers = this.#handlers
    if (handlers === undefined || this.#delivering || this.#ended) return
    this.#delivering = true
    while (!this.#paused && !this.#ended) {
      const chunk = this.#toDeliver.take(RECORD_DATA_BYTES)
      if (chunk === undefined) break
      this.#hand(chunk, handlers)
    }
    this.#delivering = false
    if (this.#finReceived && !this.#finDelivered && this.#toDeliver.bytes === 0 && !this.#ended) {
      this.#finDelivered = true
      handlers.end()
      this.#endIfBothFinished()
    }
  }

  #endIfBothFinished() {
    if (!this.#finDelivered) return
    if (this.#finSent) this.#end(undefined, undefined)
    else if (this.#lost !== undefined) this.#end(this.#lost, undefined)
  }

  #end(reset: StreamReset | undefined, tell: StreamReset | undefined) {
    if (this.#ended) return
    this.#ended = true
    this.#reset = reset
    this.#toSend.clear()
    this.#toDeliver.clear()
    this.#receive.release()
    this.#release()
    this.#host.ended(this, tell)
    this.#handlers?.closed(reset)
  }
}

/** For a stream whose link has gone. */
export const lost = (reason: string): StreamReset => new StreamReset({ code: ResetCode.lost, reason })
