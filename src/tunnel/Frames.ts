/**
 * The bytes inside a record: the link header, then frames (docs/protocol.md, "Records" and "Frames"). All integers are
 * big-endian.
 *
 * ```
 * record   0  sequence      uint64   position of the first positioned frame in this record
 *          8  acknowledged  uint64   position up to which the sender has received
 *         16  frames
 *
 * frame    0  type          uint8    high bit set: not positioned
 *          1  stream        uint32   0 for the link itself
 *          5  length        uint24   of the payload
 *          8  payload
 * ```
 *
 * A position counts the bytes, headers included, of all positioned frames that one side has sent on a link.
 */

import { REASON_CHARACTERS } from "../protocol/Limits.ts"

export const LINK_HEADER_BYTES = 16
export const FRAME_HEADER_BYTES = 8

/** Frame types. Unknown ones are skipped, so that later versions may add some. */
export const Type = {
  open: 1,
  accept: 2,
  data: 3,
  fin: 4,
  reset: 5,
  goAway: 6,
  /** Absolute: how many data bytes in all the receiver of this frame may send on the stream. uint64. */
  credit: 0x81,
  /** Opaque 8 bytes, to be returned in a pong. */
  ping: 0x82,
  pong: 0x83,
  /** The first frame of either side on another carrier: its proof that it is the same link. */
  resume: 0x84
} as const

/** Whether frames of this type count in positions, and are to be replayed when a link is resumed. */
export const isPositioned = (type: number): boolean => type < 0x80

export const writeUint64 = (target: Buffer, value: number, offset: number): void => {
  target.writeUInt32BE(Math.floor(value / 2 ** 32), offset)
  target.writeUInt32BE(value >>> 0, offset + 4)
}

export const readUint64 = (source: Buffer, offset: number): number =>
  source.readUInt32BE(offset) * 2 ** 32 + source.readUInt32BE(offset + 4)

/** What a link header says. */
export interface Positions {
  readonly sequence: number
  readonly acknowledged: number
}

export const positions = (record: Buffer): Positions => ({
  sequence: readUint64(record, 0),
  acknowledged: readUint64(record, 8)
})

/** The first record of either side on another carrier: where it stands, and its proof. */
export const resumeRecord = ({ acknowledged, sequence }: Positions, proof: Uint8Array): Buffer => {
  const linkHeader = Buffer.allocUnsafe(LINK_HEADER_BYTES)
  writeUint64(linkHeader, sequence, 0)
  writeUint64(linkHeader, acknowledged, 8)
  return Buffer.concat([linkHeader, frame(Type.resume, 0, proof)])
}

/** Reads such a record; undefined for any other. */
export const readResumeRecord = (
  record: Buffer
): { readonly positions: Positions; readonly proof: Buffer } | undefined => {
  if (record.length < LINK_HEADER_BYTES) return undefined
  let proof: Buffer | undefined
  const isWhole = walk(record, (type, _stream, payload) => {
    if (type === Type.resume) proof = payload
  })
  return isWhole === 0 && proof !== undefined ? { positions: positions(record), proof } : undefined
}

/** A frame header alone; the payload follows as a part of its own, uncopied. */
export const header = (type: number, stream: number, length: number): Buffer => {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES)
  frame[0] = type
  frame.writeUInt32BE(stream, 1)
  frame.writeUIntBE(length, 5, 3)
  return frame
}

/** A whole frame with a small payload. */
export const frame = (type: number, stream: number, payload: Uint8Array): Buffer =>
  Buffer.concat([header(type, stream, payload.length), payload])

/** A credit frame. */
export const credit = (stream: number, limit: number): Buffer => {
  const whole = Buffer.allocUnsafe(FRAME_HEADER_BYTES + 8)
  header(Type.credit, stream, 8).copy(whole)
  writeUint64(whole, limit, FRAME_HEADER_BYTES)
  return whole
}

/** A reset frame: a code, then the reason in UTF-8. */
export const reset = (stream: number, code: number, reason: string): Buffer =>
  frame(Type.reset, stream, Buffer.concat([Buffer.of(code), Buffer.from(reason.slice(0, REASON_CHARACTERS))]))

/** Gets every frame of a record, in order. The payload is a view into the record. */
export type OnFrame = (type: number, stream: number, payload: Buffer) => void

/**
 * Walks the frames of a record from LINK_HEADER_BYTES on. Returns the sum of the positioned frames' bytes, or undefined
 * when the record is cut inside a frame; what preceded has been delivered then.
 */
export const walk = (record: Buffer, onFrame: OnFrame): number | undefined => {
  let positioned = 0
  let at = LINK_HEADER_BYTES
  while (at < record.length) {
    if (record.length - at < FRAME_HEADER_BYTES) return undefined
    const type = record.readUInt8(at)
    const stream = record.readUInt32BE(at + 1)
    const end = at + FRAME_HEADER_BYTES + record.readUIntBE(at + 5, 3)
    if (end > record.length) return undefined
    if (isPositioned(type)) positioned += end - at
    onFrame(type, stream, record.subarray(at + FRAME_HEADER_BYTES, end))
    at = end
  }
  return positioned
}
