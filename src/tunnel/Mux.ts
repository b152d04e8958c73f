/**
 * The mux: many streams on one link. Opened by either side, accepted or refused with a reason, served in turn, ended one
 * by one or all together (docs/protocol.md, "Streams").
 *
 * Turns: streams with little to send and nothing queued before go first, the rest one chunk each in a ring, so a
 * keystroke waits for one record and not for every copy. Control frames go before data. The mux never pauses the carrier:
 * a slow reader uses up its stream's credit, and only its stream waits.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import {
  LINK_CONTROL_BYTES,
  LINK_STREAMS,
  OPEN_BYTES,
  REASON_CHARACTERS,
  SERVICE_NAME_CHARACTERS,
  SMALL_CHUNK
} from "../protocol/Limits.ts"
import { Port } from "../protocol/Service.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import type { ByteStream } from "../transport/ByteStream.ts"
import { CreditPool } from "./Credit.ts"
import * as Frames from "./Frames.ts"
import type { Linger } from "./KeepBudget.ts"
import type { FrameSource, Link } from "./Link.ts"
import { lost, MuxStream, type StreamHost } from "./MuxStream.ts"
import type { RecordBuilder } from "./RecordBuilder.ts"
import { type Incoming, type Target, TunnelClosed, type TunnelHeld } from "./Tunnel.ts"

/** The extensible map of an open frame: what to reach, and how much the opener allows. Unknown members are ignored. */
const Open = Schema.parseJson(
  Schema.Struct({
    port: Schema.optional(Port),
    service: Schema.optional(Schema.String.pipe(Schema.minLength(1), Schema.maxLength(SERVICE_NAME_CHARACTERS))),
    credit: Schema.NonNegativeInt
  })
)
const Accept = Schema.parseJson(Schema.Struct({ credit: Schema.NonNegativeInt }))
const GoAway = Schema.parseJson(Schema.Struct({ reason: Schema.String }))

const decodeOpen = Schema.decodeUnknownEither(Open)
const decodeAccept = Schema.decodeUnknownEither(Accept)
const decodeGoAway = Schema.decodeUnknownEither(GoAway)

const endlessly: Linger = () => () => {}

const json = (value: object) => Buffer.from(JSON.stringify(value))

/** How an asked-for stream turned out; called once. */
export interface Opening {
  readonly accepted: (stream: ByteStream) => void
  readonly refused: (reset: StreamReset) => void
}

export interface MuxOptions {
  /** The initiator of the handshake opens odd stream numbers, the responder even ones. */
  readonly initiator: boolean
  readonly link: (source: FrameSource) => Link
  /** Memory for what streams have yet to deliver when the link is over; without it they have what they need. */
  readonly linger?: Linger | undefined
  /** A stream that the peer asks for. */
  readonly incoming: (incoming: Incoming) => void
  /** The carrier is lost; streams wait for another one. */
  readonly detached: (how: TunnelClosed) => void
  /** There is a carrier. */
  readonly attached: () => void
  /** Every stream has been reset by then, but for those that have yet to deliver what the peer had finished. */
  readonly closed: (how: TunnelClosed) => void
}

export class Mux {
  readonly link: Link
  readonly #options: MuxOptions
  readonly #streams = new Map<number, MuxStream>()
  readonly #openings = new Map<number, Opening>()
  /** Asked for by the peer, not answered by us. */
  readonly #unanswered = new Set<number>()
  /** Those of them that the peer has reset meanwhile: they keep their place, since somebody still works on the answer. */
  #abandoned = 0
  #nextId: number
  #highestPeerId = 0
  #control: Array<Buffer> = []
  #controlBytes = 0
  #sparse: Array<MuxStream> = []
  #bulk: Array<MuxStream> = []
  #creditDue = new Set<MuxStream>()
  #filledStreams = new Set<MuxStream>()
  #over = false
  /** What was taken of the link's memory for what waits while there is no carrier. */
  #reserved = 0
  readonly #host: StreamHost

  constructor(options: MuxOptions) {
    this.#options = options
    this.#nextId = options.initiator ? 1 : 2
    this.#host = {
      credit: new CreditPool(),
      isAttached: () => this.link.isAttached,
      wait: (bytes) => {
        if (!this.link.reserve(bytes)) return false
        this.#reserved += bytes
        return true
      },
      ready: (stream, sparse) => {
        if (!stream.queued) {
          stream.queued = true
          ;(sparse ? this.#sparse : this.#bulk).push(stream)
        }
        this.link.kick()
      },
      creditDue: (stream) => {
        this.#creditDue.add(stream)
        this.link.kick()
      },
      ended: (stream, tell) => {
        this.#streams.delete(stream.id)
        if (this.#unanswered.has(stream.id)) this.#abandoned++
        this.#openings.delete(stream.id)
        this.#creditDue.delete(stream)
        if (tell !== undefined) this.#send(Frames.reset(stream.id, tell.code, tell.reason))
      }
    }
    this.link = options.link({
      fill: (record, data) => this.#fill(record, data),
      filled: () => this.#filled(),
      frame: (type, stream, payload) => this.#onFrame(type, stream, payload),
      isBusy: () => this.#streams.size > 0,
      detached: (how) => this.#onDetached(how),
      attached: () => this.#onAttached(),
      closed: (how) => this.#onClosed(how)
    })
  }

  get held(): TunnelHeld {
    let unsent = 0
    let undelivered = 0
    for (const stream of this.#streams.values()) {
      unsent += stream.unsent
      undelivered += stream.undelivered
    }
    const { buffered: carrier, kept } = this.link
    return { unsent, undelivered, carrier, kept, streams: this.#streams.size }
  }

  /** Asks the peer for a stream. The returned stream may be reset before it is accepted. */
  open(target: Target, opening: Opening): ByteStream | undefined {
    const refuse = (code: ResetCode, reason: string) => {
      opening.refused(new StreamReset({ code, reason }))
      return undefined
    }
    if (this.#over) return refuse(ResetCode.lost, "the tunnel is closed")
    if (this.#places >= LINK_STREAMS)
      return refuse(ResetCode.busy, `more than ${LINK_STREAMS} connections in one tunnel`)
    // The other half is for answers; only by those may a peer that does not read make us give up on it.
    if (this.#controlBytes >= LINK_CONTROL_BYTES / 2) return refuse(ResetCode.busy, "the other side does not read")
    if ("service" in target && target.service.length > SERVICE_NAME_CHARACTERS) {
      return refuse(ResetCode.protocol, `no service has a name of ${target.service.length} characters`)
    }
    const stream = this.#add(this.#nextId)
    this.#nextId += 2
    this.#openings.set(stream.id, opening)
    this.#send(Frames.frame(Frames.Type.open, stream.id, json({ ...target, credit: stream.receiveLimit })))
    return stream
  }

  /** Tells the peer why, and ends everything. */
  close(reason: string): void {
    if (this.#over) return
    const goAway = Frames.frame(Frames.Type.goAway, 0, json({ reason: reason.slice(0, REASON_CHARACTERS) }))
    this.link.finish(goAway, new TunnelClosed({ kind: "closed", reason }))
  }

  /** Ends everything because nobody came back. */
  abandon(reason: string): void {
    this.link.close(new TunnelClosed({ kind: "lost", reason }))
  }

  /** Ends everything at once; what any end still waits for is dropped. */
  revoke(reason: string): void {
    this.link.close(new TunnelClosed({ kind: "revoked", reason }))
    // When the carrier went first, what a peer had finished is still on its way.
    for (const stream of this.#streams.values()) stream.onReset(lost(reason))
  }

  // ---- sending

  get #places() {
    return this.#streams.size + this.#abandoned
  }

  #add(id: number) {
    const stream = new MuxStream(id, this.#host)
    this.#streams.set(id, stream)
    return stream
  }

  #send(frame: Buffer) {
    if (this.#over) return
    this.#control.push(frame)
    this.#controlBytes += frame.length
    if (this.#controlBytes > LINK_CONTROL_BYTES) return this.#violation("it asks without reading the answers")
    this.link.kick()
  }

  #fill(record: RecordBuilder, data: boolean) {
    while (this.#control.length > 0) {
      const frame = this.#control[0]
      if (frame === undefined || frame.length > record.room) return
      this.#control.shift()
      this.#controlBytes -= frame.length
      record.add(frame)
    }
    for (const stream of this.#creditDue) {
      if (record.room < 2 * Frames.FRAME_HEADER_BYTES) return
      this.#creditDue.delete(stream)
      record.add(Frames.credit(stream.id, stream.receiveLimit))
    }
    if (!data) return
    if (this.#fillFrom(this.#sparse, record)) this.#fillFrom(this.#bulk, record)
  }

  /** One turn for each stream until the record is full; false when it is. */
  #fillFrom(ring: Array<MuxStream>, record: RecordBuilder): boolean {
    for (let stream = ring[0]; stream !== undefined; stream = ring[0]) {
      if (stream.isEnded) {
        ring.shift()
        stream.queued = false
        continue
      }
      const moved = stream.fill(record)
      if (moved < 0) return false
      ring.shift()
      stream.queued = false
      this.#filledStreams.add(stream)
      if (stream.hasMore) {
        stream.queued = true
        this.#bulk.push(stream)
      } else if (moved > 0 && moved <= SMALL_CHUNK && stream.unsent === 0) this.link.sparse(stream.bulkAt)
      if (moved > SMALL_CHUNK) stream.bulkAt = this.link.now()
      if (record.dataRoom < SMALL_CHUNK) return false
    }
    return true
  }

  #filled() {
    for (const stream of this.#filledStreams) {
      this.#filledStreams.delete(stream)
      stream.drainIfDue()
    }
  }

  // ---- receiving

  #onFrame(type: number, id: number, payload: Buffer) {
    switch (type) {
      case Frames.Type.data: {
        const stream = this.#streams.get(id)
        if (stream !== undefined && !stream.onData(payload)) this.#violation("data without credit, or after its end")
        return
      }
      case Frames.Type.credit:
        if (payload.length < 8) return this.#violation("a credit frame that is cut short")
        return this.#streams.get(id)?.onCredit(Frames.readUint64(payload, 0))
      case Frames.Type.open:
        return this.#onOpen(id, payload)
      case Frames.Type.accept:
        return this.#onAccept(id, payload)
      case Frames.Type.fin:
        return this.#streams.get(id)?.onFin()
      case Frames.Type.reset:
        return this.#onReset(id, payload)
      case Frames.Type.goAway: {
        const reason = Either.match(decodeGoAway(payload.toString()), {
          onLeft: () => "closed by the other side",
          onRight: (goAway) => goAway.reason
        })
        return this.link.close(new TunnelClosed({ kind: "closed", reason }))
      }
    }
  }

  #onOpen(id: number, payload: Buffer) {
    const peerParity = this.#options.initiator ? 0 : 1
    if (id % 2 !== peerParity || id <= this.#highestPeerId) return this.#violation("a stream number out of turn")
    this.#highestPeerId = id
    const refuse = (code: ResetCode, reason: string) => this.#send(Frames.reset(id, code, reason))
    if (payload.length > OPEN_BYTES) return refuse(ResetCode.protocol, "the open request is too long")
    const open = Either.getOrUndefined(decodeOpen(payload.toString()))
    const target: Target | undefined =
      open?.port !== undefined
        ? { port: open.port }
        : open?.service !== undefined
          ? { service: open.service }
          : undefined
    if (open === undefined || target === undefined) {
      return refuse(ResetCode.protocol, "the open request names neither a port nor a service")
    }
    if (this.#places >= LINK_STREAMS) return refuse(ResetCode.busy, "too many connections in one tunnel")
    const stream = this.#add(id)
    stream.onCredit(open.credit)
    this.#unanswered.add(id)
    const answer = () => {
      if (!this.#unanswered.delete(id)) return false
      if (stream.isEnded) this.#abandoned--
      return !stream.isEnded
    }
    this.#options.incoming({
      target,
      accept: () => {
        if (answer()) this.#send(Frames.frame(Frames.Type.accept, id, json({ credit: stream.receiveLimit })))
        return stream
      },
      refuse: (reset) => {
        if (answer()) stream.reset(reset)
      }
    })
  }

  #onAccept(id: number, payload: Buffer) {
    const stream = this.#streams.get(id)
    const opening = this.#openings.get(id)
    if (stream === undefined || opening === undefined) return
    this.#openings.delete(id)
    const accept = Either.getOrUndefined(decodeAccept(payload.toString()))
    if (accept === undefined) return this.#violation("an accept without credit")
    stream.onCredit(accept.credit)
    opening.accepted(stream)
  }

  #onReset(id: number, payload: Buffer) {
    const reset = new StreamReset({
      code: payload[0] ?? ResetCode.cancelled,
      reason: payload.subarray(1).toString() || "closed by the other side"
    })
    const opening = this.#openings.get(id)
    this.#streams.get(id)?.onReset(reset)
    opening?.refused(reset)
  }

  #violation(what: string) {
    this.link.close(new TunnelClosed({ kind: "tampered", reason: `the peer broke the protocol: ${what}` }))
  }

  /** Streams keep what they have; what is written meanwhile counts as it comes. */
  #onDetached(how: TunnelClosed) {
    let waiting = 0
    for (const stream of this.#streams.values()) waiting += stream.settle()
    if (!this.link.reserve(waiting)) {
      const reason = `${how.reason}; and too much waits to be kept until it is back`
      return this.link.close(new TunnelClosed({ kind: "lost", reason }))
    }
    this.#reserved += waiting
    this.#options.detached(how)
  }

  #onAttached() {
    this.link.release(this.#reserved)
    this.#reserved = 0
    // Limits are not kept for the new carrier; they are absolute, so that saying one twice does no harm.
    for (const stream of this.#streams.values()) {
      this.#creditDue.add(stream)
      this.#filledStreams.add(stream)
    }
    this.#options.attached()
  }

  #onClosed(how: TunnelClosed) {
    this.#over = true
    const reset = lost(how.reason)
    const { linger = endlessly } = this.#options
    const openings = [...this.#openings.values()]
    const dropsAll = how.kind === "tampered" || how.kind === "revoked"
    for (const stream of this.#streams.values()) {
      // Nobody ever gets a stream that is not accepted by now, nor what it was to deliver.
      if (dropsAll || this.#openings.has(stream.id)) stream.onReset(reset)
      else stream.onLost(reset, linger)
    }
    for (const opening of openings) opening.refused(reset)
    this.#options.closed(how)
  }
}
