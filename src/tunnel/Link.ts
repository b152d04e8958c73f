/**
 * The link puts frames into records and says in each how far both sides are: sequence and acknowledgement. It decides when
 * a record leaves: when the carrier has room, and data only within the window (docs/protocol.md, "Link").
 *
 * Budget: one microtask for a burst of frames; no Effect.
 */
import { ACK_SPACING, SPARSE_HOLD, RECORD_DATA_BYTES, RECORD_PLAINTEXT_BYTES } from "../protocol/Limits.ts"
import * as Frames from "./Frames.ts"
import type { ChannelReceiver, SecureChannel } from "./SecureChannel.ts"
import { TunnelClosed } from "./Tunnel.ts"
import { Window } from "./Window.ts"

const PING_BYTES = 8

/** A record being filled: data up to RECORD_DATA_BYTES, and everything else in what RECORD_PLAINTEXT_BYTES leaves. */
export class RecordBuilder {
  readonly linkHeader = Buffer.allocUnsafe(Frames.LINK_HEADER_BYTES)
  readonly parts: Array<Uint8Array> = [this.linkHeader]
  size = Frames.LINK_HEADER_BYTES
  /** Bytes of positioned frames so far. */
  positioned = 0
  #data = 0

  get isEmpty(): boolean {
    return this.parts.length === 1
  }

  get hasData(): boolean {
    return this.#data > 0
  }

  /** Data bytes that may be added. */
  get dataRoom(): number {
    return this.room < Frames.FRAME_HEADER_BYTES ? 0 : RECORD_DATA_BYTES - this.#data
  }

  /** Bytes of frames other than data, and of data frames' headers, that may be added. */
  get room(): number {
    return RECORD_PLAINTEXT_BYTES - RECORD_DATA_BYTES - (this.size - this.#data)
  }

  /** Adds a whole frame. */
  add(frame: Buffer): void {
    this.parts.push(frame)
    this.size += frame.length
    if (Frames.isPositioned(frame.readUInt8(0))) this.positioned += frame.length
  }

  /** Adds a data frame without copying its bytes. */
  addData(stream: number, data: Uint8Array): void {
    const size = Frames.FRAME_HEADER_BYTES + data.length
    this.parts.push(Frames.header(Frames.Type.data, stream, data.length), data)
    this.size += size
    this.positioned += size
    this.#data += data.length
  }
}

/** What the link carries: asked for frames when a record may leave, given those that arrive. */
export interface FrameSource {
  /** Control frames first, as room allows; data only if `data`. What is left out is asked for again after {@link Link.kick}. */
  readonly fill: (record: RecordBuilder, data: boolean) => void
  /** After everything that could leave has left: the moment to ask writers for more. */
  readonly filled: () => void
  readonly frame: Frames.OnFrame
  readonly closed: (how: TunnelClosed) => void
}

export interface LinkOptions {
  /** Builds the channel around the link's receiver. */
  readonly channel: (receiver: ChannelReceiver) => SecureChannel
  readonly source: FrameSource
  /** Milliseconds of a steady clock. */
  readonly now: () => number
  /** The first record of the peer has opened: it holds the keys, and is there now. */
  readonly live: () => void
}

export class Link {
  readonly #channel: SecureChannel
  readonly #source: FrameSource
  /** Milliseconds of a steady clock. */
  readonly now: () => number
  readonly #window = new Window()
  #sent = 0
  #acknowledgedByPeer = 0
  #received = 0
  /** A record that turned out not to be needed. */
  #spare: RecordBuilder | undefined
  #scheduled = false
  #blocked = false
  #over = false
  #live: (() => void) | undefined
  /** Where the last ping stood, and when it left; undefined once it is answered. */
  #pinged = 0
  #ping: { readonly position: number; readonly at: number } | undefined
  #pong: Buffer | undefined

  constructor(options: LinkOptions) {
    this.#source = options.source
    this.now = options.now
    this.#live = options.live
    this.#channel = options.channel({
      record: (plaintext) => this.#onRecord(plaintext),
      drain: () => {
        this.#blocked = false
        this.#pump()
      },
      closed: (how) => {
        this.#over = true
        options.source.closed(how)
      }
    })
  }

  /** Takes what arrives from now on; what already waits comes during this call. Greets the peer with a ping. */
  start(): void {
    this.#channel.start()
    const record = new RecordBuilder()
    this.#addPing(record)
    if (!this.#over) this.#send(record)
  }

  /** Bytes with the carrier, not yet with the operating system. */
  get buffered(): number {
    return this.#channel.buffered
  }

  /** Positioned bytes that the peer has not acknowledged. */
  get #unacknowledged(): number {
    return this.#sent - this.#acknowledgedByPeer
  }

  /** A stream sent little, and all it had. If it has not been a bulk stream of late, the window is small for a while. */
  sparse(bulkAt: number): void {
    const now = this.now()
    if (now - bulkAt > SPARSE_HOLD) this.#window.sparse(now)
  }

  /** There may be something to send; done once for all calls of a turn. */
  kick(): void {
    if (this.#scheduled || this.#over) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  close(how: TunnelClosed): void {
    this.#channel.close(how)
  }

  /** Sends what waits, and then ends. */
  flushAndClose(how: TunnelClosed): void {
    this.#pump()
    this.close(how)
  }

  #pump() {
    while (!this.#blocked && !this.#over) {
      const record = this.#spare ?? new RecordBuilder()
      this.#spare = undefined
      if (this.#pong !== undefined) {
        record.add(Frames.frame(Frames.Type.pong, 0, this.#pong))
        this.#pong = undefined
      }
      const window = this.#window.size(this.now())
      const open = this.#unacknowledged < window
      this.#source.fill(record, open)
      if (this.#isPingDue(record, open, window)) this.#addPing(record)
      if (record.isEmpty) {
        this.#spare = record
        break
      }
      this.#send(record)
    }
    this.#source.filled()
  }

  /** The sender asks for acknowledgements, because it alone knows its window: in good time, and when it is stuck. */
  #isPingDue(record: RecordBuilder, open: boolean, window: number) {
    if (!open && this.#ping === undefined) return true
    return this.#sent + record.positioned - this.#pinged >= Math.min(ACK_SPACING, window / 2)
  }

  #addPing(record: RecordBuilder) {
    this.#pinged = this.#sent + record.positioned
    this.#ping = { position: this.#pinged, at: this.now() }
    const payload = Buffer.alloc(PING_BYTES)
    Frames.writeUint64(payload, this.#pinged, 0)
    record.add(Frames.frame(Frames.Type.ping, 0, payload))
  }

  #send(record: RecordBuilder) {
    Frames.writeUint64(record.linkHeader, this.#sent, 0)
    Frames.writeUint64(record.linkHeader, this.#received, 8)
    if (record.positioned > 0) {
      this.#sent += record.positioned
      this.#window.sent(this.#sent, this.#acknowledgedByPeer, this.now())
    }
    if (!this.#channel.send(record.parts, record.size)) this.#blocked = true
  }

  #onRecord(record: Buffer) {
    if (record.length < Frames.LINK_HEADER_BYTES) return this.#violation("a record without a link header")
    if (Frames.readUint64(record, 0) !== this.#received) return this.#violation("a gap in the sequence")
    const acknowledged = Frames.readUint64(record, 8)
    if (acknowledged > this.#sent) return this.#violation("an acknowledgement of what was never sent")
    if (acknowledged > this.#acknowledgedByPeer) {
      this.#acknowledgedByPeer = acknowledged
      this.#window.acknowledged(acknowledged, this.now())
    }
    const positioned = Frames.walk(record, (type, stream, payload) => {
      if (this.#over) return
      if (type === Frames.Type.ping) this.#pong = Buffer.from(payload.subarray(0, PING_BYTES))
      else if (type === Frames.Type.pong) this.#onPong(payload)
      else this.#source.frame(type, stream, payload)
    })
    if (positioned === undefined) return this.#violation("a frame that is cut short")
    // A peer that broke the protocol, or said goodbye, in this very record does not count as there.
    if (this.#over) return
    this.#received += positioned
    this.#live?.()
    this.#live = undefined
    this.kick()
  }

  #onPong(payload: Buffer) {
    if (this.#ping === undefined || payload.length < PING_BYTES) return
    if (Frames.readUint64(payload, 0) !== this.#ping.position) return
    this.#window.roundTrip(this.now() - this.#ping.at)
    this.#ping = undefined
  }

  #violation(what: string) {
    this.close(new TunnelClosed({ kind: "tampered", reason: `the peer broke the protocol: ${what}` }))
  }
}
