/**
 * The link puts frames into records and says in each how far both sides are: sequence and acknowledgement. It decides when
 * a record leaves: when the carrier has room, and data only within the window (docs/protocol.md, "Link"). It outlives its
 * carrier: what the peer has not acknowledged is kept, and sent again in the next one ("Resuming").
 *
 * Budget: one microtask for a burst of frames; no Effect.
 */
import {
  ACK_RECORDS,
  ACK_SPACING,
  KEPT_CONTROL_ROOM,
  KEPT_RESERVE,
  KEPT_STEP,
  SPARSE_HOLD
} from "../protocol/Limits.ts"
import * as Frames from "./Frames.ts"
import type { KeepAccount } from "./KeepBudget.ts"
import { Liveness } from "./Liveness.ts"
import { RecordBuilder } from "./RecordBuilder.ts"
import { type Kept, Replay } from "./Replay.ts"
import type { ChannelReceiver, SecureChannel } from "./SecureChannel.ts"
import { TunnelClosed } from "./Tunnel.ts"
import { Window } from "./Window.ts"

const PING_BYTES = 8

/** What the link carries: asked for frames when a record may leave, given those that arrive. */
export interface FrameSource {
  /** Control frames first, as room allows; data only if `data`. What is left out is asked for again after {@link Link.kick}. */
  readonly fill: (record: RecordBuilder, data: boolean) => void
  /** After everything that could leave has left: the moment to ask writers for more. */
  readonly filled: () => void
  readonly frame: Frames.OnFrame
  /** Whether there is a stream; a link without any need not be sure that its peer is there. */
  readonly isBusy: () => boolean
  /** The carrier is lost. The link waits for another one, unless it is closed. */
  readonly detached: (how: TunnelClosed) => void
  /** There is a carrier again, and the peer has, or will have, all that was sent before. */
  readonly attached: () => void
  readonly closed: (how: TunnelClosed) => void
}

export interface LinkOptions {
  readonly source: FrameSource
  /** Milliseconds of a steady clock. */
  readonly now: () => number
  /** What may be kept for another carrier; the link ends with its first one without it. */
  readonly account?: KeepAccount | undefined
}

export class Link {
  readonly #source: FrameSource
  /** Milliseconds of a steady clock. */
  readonly now: () => number
  readonly #account: KeepAccount | undefined
  readonly #replay: Replay
  #channel: SecureChannel | undefined
  #liveness: Liveness
  #window = new Window()
  /** Bytes that may be kept: the reserve, and what was taken beyond it. */
  #allowed = KEPT_RESERVE
  #received = 0
  /** Up to where the peer has been told so. */
  #told = 0
  /** A record that turned out not to be needed. */
  #spare: RecordBuilder | undefined
  #scheduled = false
  #blocked = false
  #over = false
  #live: (() => void) | undefined
  /** Where the last ping stood, and when it left; undefined once it is answered. */
  #pinged = 0
  #recordsSincePing = 0
  #ping: { readonly position: number; readonly at: number } | undefined
  #pong: Buffer | undefined

  constructor(options: LinkOptions) {
    this.#source = options.source
    this.now = options.now
    this.#account = options.account
    this.#replay = new Replay(options.account !== undefined)
    this.#liveness = new Liveness(options.now())
  }

  /**
   * Goes on in a channel, the first one or another; what it had of the one before is dropped. On another one, `positions`
   * is what the peer stated there, and what it has not is sent again: false when that cannot be, or is a lie, and then
   * nothing has happened. `live` is called when the first record of the peer has opened.
   */
  attach(channel: SecureChannel, positions?: Frames.Positions, live?: () => void): boolean {
    if (positions !== undefined) {
      if (positions.sequence > this.#received || !this.#replay.rewind(positions.acknowledged)) return false
    }
    this.#drop()
    this.#channel = channel
    this.#live = live
    this.#window = new Window()
    this.#ping = undefined
    this.#pong = undefined
    this.#blocked = false
    this.#told = this.#received
    this.#liveness = new Liveness(this.now())
    channel.receive(this.#receiver(channel))
    if (this.#channel !== channel || this.#over) return true
    this.#source.attached()
    const record = new RecordBuilder()
    this.#addPing(record)
    this.#send(record)
    this.kick()
    return true
  }

  /** Drops the carrier, if there is one; what still comes on it is ignored. Both positions stand still from then on. */
  detach(reason: string): void {
    if (this.#over || this.#channel === undefined) return
    this.#drop()
    this.#source.detached(new TunnelClosed({ kind: "lost", reason }))
  }

  #drop() {
    const channel = this.#channel
    this.#channel = undefined
    channel?.close(new TunnelClosed({ kind: "closed", reason: "the session goes on elsewhere" }))
  }

  get isAttached(): boolean {
    return this.#channel !== undefined
  }

  get isOver(): boolean {
    return this.#over
  }

  /** What this side states on a new carrier: from where it can send again, and what it has received. */
  get positions(): Frames.Positions {
    return { sequence: this.#replay.start, acknowledged: this.#received }
  }

  /** Bytes with the carrier, not yet with the operating system. */
  get buffered(): number {
    return this.#channel?.buffered ?? 0
  }

  /** Bytes kept until they are acknowledged. */
  get kept(): number {
    return this.#replay.bytes
  }

  /** Takes memory for what a link waits with while it has no carrier; given back when it has one. */
  reserve(bytes: number): boolean {
    return this.#account?.takeWaiting(bytes) ?? false
  }

  release(bytes: number): void {
    this.#account?.give(bytes)
  }

  /** A stream sent little, and all it had. If it has not been a bulk stream of late, the window is small for a while. */
  sparse(bulkAt: number): void {
    const now = this.now()
    if (now - bulkAt > SPARSE_HOLD) this.#window.sparse(now)
  }

  /** There may be something to send; done once for all calls of a turn. */
  kick(): void {
    if (this.#scheduled || this.#channel === undefined) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  /** Every LINK_TICK: notices a peer that is silent, is not silent itself, and gives memory back that is not needed. */
  tick(): void {
    const channel = this.#channel
    if (channel === undefined) return
    while (this.#allowed > KEPT_RESERVE && this.#replay.cost + KEPT_CONTROL_ROOM + KEPT_STEP <= this.#allowed) {
      this.#account?.give(KEPT_STEP)
      this.#allowed -= KEPT_STEP
    }
    const now = this.now()
    const isBusy = this.#source.isBusy() || this.#replay.bytes > 0
    const silence = this.#liveness.tick(now, isBusy, this.#window.patience(this.#replay.bytes))
    if (silence === "probe") {
      const record = new RecordBuilder()
      this.#addPing(record)
      this.#send(record)
    } else if (silence === "dead") {
      const seconds = Math.round((now - this.#liveness.heardAt) / 1000)
      channel.close(new TunnelClosed({ kind: "lost", reason: `no sign of life from the other end for ${seconds} s` }))
    } else if (this.#received !== this.#told && !this.#blocked) {
      // Whoever sends much on a slow path has asked long ago, and the answer may be seconds away.
      this.#send(new RecordBuilder())
    }
  }

  /** Ends the link, with its carrier or without one. */
  close(how: TunnelClosed): void {
    if (this.#over) return
    const channel = this.#channel
    this.#over = true
    this.#channel = undefined
    channel?.close(how)
    this.#end(how)
  }

  /**
   * Sends what there is room for, then in any case the last frame, and ends. The peer takes that frame where it stands: in
   * the middle of what is sent again, too, since nothing comes after it.
   */
  finish(last: Buffer, how: TunnelClosed): void {
    this.#pump()
    const record = new RecordBuilder()
    record.add(last)
    this.#send(record)
    this.close(how)
  }

  #end(how: TunnelClosed) {
    this.#over = true
    this.#channel = undefined
    this.#replay.clear()
    this.#account?.close()
    this.#source.closed(how)
  }

  /** What arrives on a channel counts as long as it is the link's. */
  #receiver(channel: SecureChannel): ChannelReceiver {
    return {
      record: (plaintext) => {
        if (this.#channel === channel) this.#onRecord(plaintext)
      },
      drain: () => {
        if (this.#channel !== channel) return
        this.#blocked = false
        this.#pump()
      },
      closed: (how) => {
        if (this.#channel !== channel) return
        this.#channel = undefined
        if (how.kind !== "lost" || this.#account === undefined) return this.#end(how)
        this.#source.detached(how)
      }
    }
  }

  #pump() {
    while (!this.#blocked && this.#channel !== undefined) {
      const again = this.#replay.takeAgain()
      if (again !== undefined) {
        this.#sendAgain(again)
        continue
      }
      const record = this.#spare ?? new RecordBuilder()
      this.#spare = undefined
      if (this.#pong !== undefined) {
        record.add(Frames.frame(Frames.Type.pong, 0, this.#pong))
        this.#pong = undefined
      }
      const window = this.#window.size(this.now())
      const open = this.#replay.bytes < window && this.#mayKeep(window)
      record.limit = this.#window.recordBytes
      if (this.#hasRoom()) this.#source.fill(record, open)
      if (this.#isPingDue(record, open, window)) this.#addPing(record)
      if (record.isEmpty) {
        this.#spare = record
        break
      }
      this.#send(record)
    }
    this.#source.filled()
  }

  /** Whether another record of data may be kept. A link without an account keeps none. */
  #mayKeep(window: number): boolean {
    if (this.#account === undefined) return true
    while (this.#replay.cost >= this.#allowed - KEPT_CONTROL_ROOM && this.#allowed < window) {
      if (!this.#account.take(KEPT_STEP)) return false
      this.#allowed += KEPT_STEP
    }
    return this.#replay.cost < this.#allowed - KEPT_CONTROL_ROOM
  }

  /** The sender asks for acknowledgements, because it alone knows its window: in good time, and when it is stuck. */
  #isPingDue(record: RecordBuilder, open: boolean, window: number) {
    if (!open && this.#ping === undefined) return true
    if (this.#recordsSincePing >= ACK_RECORDS) return true
    return this.#replay.end + record.positioned - this.#pinged >= Math.min(ACK_SPACING, window / 2)
  }

  #addPing(record: RecordBuilder) {
    this.#pinged = this.#replay.end + record.positioned
    this.#recordsSincePing = 0
    this.#ping = { position: this.#pinged, at: this.now() }
    const payload = Buffer.alloc(PING_BYTES)
    Frames.writeUint64(payload, this.#pinged, 0)
    record.add(Frames.frame(Frames.Type.ping, 0, payload))
  }

  #send(record: RecordBuilder) {
    const channel = this.#channel
    if (channel === undefined) return
    this.#writeHeader(record.linkHeader, this.#replay.position)
    if (record.positioned > 0) {
      this.#replay.push(record.kept, record.positioned)
      this.#recordsSincePing++
      this.#window.sent(this.#replay.end, this.#replay.start, this.now())
    }
    if (!channel.send(record.parts, record.size)) this.#blocked = true
  }

  /**
   * Frames other than data are kept whatever the window says: there is room for them, and there can be more. When there is
   * none, they wait until something is acknowledged.
   */
  #hasRoom(): boolean {
    if (this.#account === undefined || this.#replay.cost <= this.#allowed) return true
    if (!this.#account.take(KEPT_STEP)) return false
    this.#allowed += KEPT_STEP
    return true
  }

  #writeHeader(header: Buffer, position: number) {
    Frames.writeUint64(header, position, 0)
    Frames.writeUint64(header, this.#received, 8)
    this.#told = this.#received
  }

  #sendAgain({ bytes, parts, start }: Kept) {
    const header = Buffer.allocUnsafe(Frames.LINK_HEADER_BYTES)
    this.#writeHeader(header, start)
    if (this.#channel?.send([header, ...parts], header.length + bytes) === false) this.#blocked = true
  }

  #onRecord(record: Buffer) {
    if (record.length < Frames.LINK_HEADER_BYTES) return this.#violation("a record without a link header")
    const { acknowledged, sequence } = Frames.positions(record)
    if (sequence !== this.#received) return this.#violation("a gap in the sequence")
    this.#liveness.heard(this.now())
    if (acknowledged > this.#replay.start) {
      if (!this.#replay.acknowledge(acknowledged)) return this.#violation("an acknowledgement of what was never sent")
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
