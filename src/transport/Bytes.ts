/** What a view keeps alive. */

/**
 * The same bytes, in a buffer of their own when they are less than half of the one they are a view of: a chunk that may
 * wait must not keep a whole socket read or record alive, which no count of queued bytes would show.
 */
export const compact = (chunk: Uint8Array): Uint8Array =>
  chunk.length * 2 < chunk.buffer.byteLength ? new Uint8Array(chunk) : chunk
