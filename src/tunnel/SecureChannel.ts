/**
 * Records over a carrier: what leaves is sealed, what arrives is opened in order or ends everything (docs/protocol.md,
 * "Records"). The hub sees the relay header, the type byte and ciphertext.
 *
 * Budget: one cipher operation and one allocation a record; no Effect.
 */
import { randomBytes } from "node:crypto"
import { TAG_BYTES } from "../crypto/Aead.ts"
import type { Transport } from "../crypto/Noise.ts"
import { CloseCode } from "../protocol/Close.ts"
import { HEADER_BYTES, isData, isFrame, writeHeader } from "../protocol/RelayFrame.ts"
import type { Carrier, CarrierReceiver } from "../transport/Carrier.ts"
import { TunnelClosed } from "./Tunnel.ts"

/** First payload byte of a tunnel message. WireGuard's are 1 to 4; ours have the high bit set. */
export const MessageType = {
  handshakeInit: 0x81,
  handshakeResponse: 0x82,
  record: 0x83
} as const

const recordType = Buffer.of(MessageType.record)
const PREFIX_BYTES = HEADER_BYTES + 1

/** A number for the relay header; nobody reads it, each end keeps one per carrier (spec: wire 4.1). */
export const senderId = (): number => randomBytes(4).readUInt32BE()

/** A tunnel message in its relay frame. */
export const message = (type: number, sender: number, body: Uint8Array): Buffer => {
  const whole = Buffer.allocUnsafe(PREFIX_BYTES + body.length)
  writeHeader(whole, sender)
  whole[HEADER_BYTES] = type
  whole.set(body, PREFIX_BYTES)
  return whole
}

/** Takes a relay frame apart; undefined for what is not for the tunnel (control frames, foreign bytes, empty payloads). */
export const parseMessage = (frame: Uint8Array): { readonly type: number; readonly body: Uint8Array } | undefined =>
  isFrame(frame) && isData(frame) && frame.length > HEADER_BYTES
    ? { type: frame[HEADER_BYTES] ?? 0, body: frame.subarray(PREFIX_BYTES) }
    : undefined

/** Who gets what the channel delivers. */
export interface ChannelReceiver {
  readonly record: (plaintext: Buffer) => void
  readonly drain: () => void
  readonly closed: (how: TunnelClosed) => void
}

export interface SecureChannel {
  /**
   * Names who receives from now on, in place of whoever did before. The first call takes the carrier over; what already
   * waits is delivered during it.
   */
  receive(receiver: ChannelReceiver): void
  /** Seals `parts`, `size` bytes together, as one record. False asks to wait for `drain`. */
  send(parts: ReadonlyArray<Uint8Array>, size: number): boolean
  /** Bytes with the carrier, not yet with the operating system. */
  readonly buffered: number
  /** Ends the channel and the carrier; `closed` is called once, with the first reason given. */
  close(how: TunnelClosed): void
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** A channel that nobody receives from yet. `takeOver` gives it the carrier's messages, those that already wait included. */
export const make = (options: {
  readonly carrier: Carrier
  readonly transport: Pick<Transport, "send" | "receive">
  readonly sender: number
  readonly takeOver: (receiver: CarrierReceiver) => void
  /** Told once that it is over, whoever received from it then. */
  readonly ended?: () => void
}): SecureChannel => {
  const { carrier, ended, sender } = options
  const { receive: incoming, send: outgoing } = options.transport
  let receiver: ChannelReceiver | undefined
  let over = false

  const end = (how: TunnelClosed) => {
    over = true
    receiver?.closed(how)
    ended?.()
  }

  const close = (how: TunnelClosed) => {
    if (over) return
    // No reason: it may have come sealed, and a close frame is for the hub to read.
    carrier.close(how.kind === "tampered" || how.kind === "revoked" ? CloseCode.policy : CloseCode.normal, "")
    end(how)
  }

  const carrierReceiver: CarrierReceiver = {
    binary: (frame) => {
      if (over) return
      const body = parseMessage(frame)
      if (body === undefined) return
      const plaintext = body.type === MessageType.record ? incoming.open(recordType, body.body) : undefined
      if (plaintext !== undefined) return receiver?.record(asBuffer(plaintext))
      close(
        new TunnelClosed({
          kind: "tampered",
          reason: "a record is not authentic: something between the two ends changed, repeated or dropped it"
        })
      )
    },
    // After signalling, text could come from anyone on the way.
    text: () => {},
    drain: () => {
      if (!over) receiver?.drain()
    },
    closed: (how) => {
      if (over) return
      // The hub has ended it on purpose: nobody is to come back.
      const kind = how.code === CloseCode.policy ? "closed" : "lost"
      end(new TunnelClosed({ kind, reason: how.message }))
    }
  }

  return {
    receive: (next) => {
      const first = receiver === undefined
      receiver = next
      if (first) options.takeOver(carrierReceiver)
    },
    send: (parts, size) => {
      if (over) return true
      const frame = Buffer.allocUnsafe(PREFIX_BYTES + size + TAG_BYTES)
      writeHeader(frame, sender)
      frame[HEADER_BYTES] = MessageType.record
      outgoing.seal(recordType, parts, frame, PREFIX_BYTES)
      return carrier.send(frame)
    },
    get buffered() {
      return carrier.buffered
    },
    close
  }
}
