/**
 * Bytes that wait, in the chunks they came in. Small chunks are copied together, so that what the queue costs follows its
 * bytes and not the number of chunks, and so that a small chunk never keeps the large buffer alive that it was cut from.
 */
import { SMALL_CHUNK } from "../protocol/Limits.ts"
import { compact } from "../transport/Bytes.ts"

interface Chunk {
  readonly bytes: Uint8Array
  start: number
  end: number
  /** A block of our own, with room behind `end`. */
  readonly block: boolean
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
    let last = this.#chunks.at(-1)
    if (last === undefined || !last.block || last.bytes.length - last.end < chunk.length) {
      last = { bytes: new Uint8Array(SMALL_CHUNK), start: 0, end: 0, block: true }
      this.#chunks.push(last)
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

  clear(): void {
    this.#chunks = []
    this.bytes = 0
  }
}
