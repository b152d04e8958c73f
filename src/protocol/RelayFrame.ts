/**
 * The 7-byte header of every binary message on a session socket, and the hub's hop rule (spec: wire 4.1).
 *
 * ```
 * offset 0  magic      0x54
 * offset 1  hop        remaining hub traversals; 0 as sent by an endpoint
 * offset 2  flags      0x00 data, 0x01 control
 * offset 3  sender id  uint32, big-endian, chosen by each end, read by nobody
 * offset 7  payload
 * ```
 */

export const HEADER_BYTES = 7
const MAGIC = 0x54
const FLAG_DATA = 0x00
export const FLAG_CONTROL = 0x01

/** Hops a frame starts with at the first hub, and the most that an endpoint may claim. */
const MAX_HOPS = 8

/** Writes a data header at the start of `frame`. */
export const writeHeader = (frame: Uint8Array, senderId: number): void => {
  frame[0] = MAGIC
  frame[1] = 0
  frame[2] = FLAG_DATA
  frame[3] = senderId >>> 24
  frame[4] = senderId >>> 16
  frame[5] = senderId >>> 8
  frame[6] = senderId
}

/** Whether `frame` has a whole header of this version. */
export const isFrame = (frame: Uint8Array): boolean => frame.length >= HEADER_BYTES && frame[0] === MAGIC

/** Whether `frame`, known to be a frame, carries data for the tunnel (anything but exactly 0x01 does). */
export const isData = (frame: Uint8Array): boolean => frame[2] !== FLAG_CONTROL

/**
 * Counts one hub traversal down in place. Returns false when the frame has no hop left and must be dropped. Zero means
 * "first hub"; a larger claim than MAX_HOPS is cut to it, so that no endpoint can weaken the loop guard.
 */
export const countHop = (frame: Uint8Array): boolean => {
  const hop = frame[1] ?? 0
  const left = (hop === 0 || hop > MAX_HOPS ? MAX_HOPS : hop) - 1
  frame[1] = left
  return left > 0
}
