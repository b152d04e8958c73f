/**
 * Bytes that wait, in the chunks they came in. Small chunks are copied together, so that what the queue costs follows its
 * bytes and not the number of chunks, and so that a small chunk never keeps the large buffer alive that it was cut from.
 */
import { PIECE_BYTES, SMALL_CHUNK } from "../protocol/Limits.ts"
import { compact } from "../transport/Bytes.ts"

/** The least that a block has; one that holds a keystroke must not cost as much as one that is full. */
const BLOCK_LEAST = 64

interface Chunk {
  bytes: Uint8Array
  start: number
  end: number
  /** A block of our own, which grows up to SMALL_CHUNK. */
  readonly block: boolean
}

/** A block with these bytes, and room for as many again. */
const blockOf = (bytes: Uint8Array, room: number): Uint8Array => {
  const block = new Uint8Array(Math.min(SMALL_CHUNK, Math.max(BLOCK_LEAST, 2 * room)))
  block.set(bytes)
  return block
}

export class ChunkQueue {
  #chunks: Array<Chunk> = []
  /** How much waits. */
  bytes = 0

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.bytes += chunk.length
    if (chunk.length < SMALL_CHUNK) return this.#append(chunk)
    const bytes = compact(chunk)
    this.#chunks.push({ bytes, start: 0, end: bytes.length, block: false })
  }

  #append(chunk: Uint8Array) {
    const last = this.#chunks.at(-1)
    const all = last === undefined ? chunk.length : last.end - last.start + chunk.length
    if (last === undefined || !last.block || all > SMALL_CHUNK) {
      this.#chunks.push({ bytes: blockOf(chunk, chunk.length), start: 0, end: chunk.length, block: true })
      return
    }
    if (last.bytes.length - last.end < chunk.length) {
      last.bytes = blockOf(last.bytes.subarray(last.start, last.end), all)
      last.end -= last.start
      last.start = 0
    }
    last.bytes.set(chunk, last.end)
    last.end += chunk.length
  }

  /** The length of the next chunk; 0 when nothing waits. */
  get next(): number {
    const first = this.#chunks[0]
    return first === undefined ? 0 : first.end - first.start
  }

  /** Takes the next chunk, or its first `most` bytes; nothing when nothing waits. */
  take(most: number): Uint8Array | undefined {
    const first = this.#chunks[0]
    if (first === undefined) return undefined
    const start = first.start
    const end = Math.min(first.end, start + most)
    first.start = end
    if (end === first.end) this.#chunks.shift()
    this.bytes -= end - start
    return first.bytes.subarray(start, end)
  }

  /**
   * For a long wait: copies what keeps much more alive than itself, as the rest of a chunk does, and tells what all of it
   * costs then. Bytes of memory.
   */
  settle(): number {
    let cost = 0
    for (const chunk of this.#chunks) {
      const waiting = chunk.bytes.subarray(chunk.start, chunk.end)
      chunk.bytes = compact(waiting)
      chunk.start = 0
      chunk.end = waiting.length
      cost += chunk.bytes.buffer.byteLength + PIECE_BYTES
    }
    return cost
  }

  clear(): void {
    this.#chunks = []
    this.bytes = 0
  }
}
