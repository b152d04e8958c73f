/**
 * A record being filled: data up to a limit, RECORD_DATA_BYTES at most, and everything else in what RECORD_PLAINTEXT_BYTES
 * leaves. Bytes are not copied.
 */
import { RECORD_DATA_BYTES, RECORD_PLAINTEXT_BYTES } from "../protocol/Limits.ts"
import * as Frames from "./Frames.ts"

export class RecordBuilder {
  readonly linkHeader = Buffer.allocUnsafe(Frames.LINK_HEADER_BYTES)
  readonly parts: Array<Uint8Array> = [this.linkHeader]
  /** Those of them that are positioned frames. */
  readonly kept: Array<Uint8Array> = []
  size = Frames.LINK_HEADER_BYTES
  /** Bytes of positioned frames so far. */
  positioned = 0
  /** Data bytes that it may have. */
  limit = RECORD_DATA_BYTES
  #data = 0

  get isEmpty(): boolean {
    return this.parts.length === 1
  }

  get hasData(): boolean {
    return this.#data > 0
  }

  /** Data bytes that may be added. */
  get dataRoom(): number {
    return this.room < Frames.FRAME_HEADER_BYTES ? 0 : this.limit - this.#data
  }

  /** Bytes of frames other than data, and of data frames' headers, that may be added. */
  get room(): number {
    return RECORD_PLAINTEXT_BYTES - RECORD_DATA_BYTES - (this.size - this.#data)
  }

  /** Adds a whole frame. */
  add(frame: Buffer): void {
    this.parts.push(frame)
    this.size += frame.length
    if (!Frames.isPositioned(frame.readUInt8(0))) return
    this.kept.push(frame)
    this.positioned += frame.length
  }

  /** Adds a data frame without copying its bytes. */
  addData(stream: number, data: Uint8Array): void {
    const size = Frames.FRAME_HEADER_BYTES + data.length
    const header = Frames.header(Frames.Type.data, stream, data.length)
    this.parts.push(header, data)
    this.kept.push(header, data)
    this.size += size
    this.positioned += size
    this.#data += data.length
  }
}
