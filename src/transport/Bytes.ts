/** What a view keeps alive. */

/** Whether bytes are less than half of the buffer that they are a view of. */
export const isSmallPart = (chunk: Uint8Array): boolean => chunk.length * 2 < chunk.buffer.byteLength

/**
 * The same bytes, in a buffer of their own when they are less than half of the one they are a view of: a chunk that may
 * wait must not keep a whole socket read or record alive, which no count of queued bytes would show.
 */
export const compact = (chunk: Uint8Array): Uint8Array => (isSmallPart(chunk) ? new Uint8Array(chunk) : chunk)
