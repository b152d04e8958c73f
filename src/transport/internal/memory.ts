/**
 * What a WebSocket holds in this program's memory, for a peer that does not read or does not finish what it says. `ws` and
 * Node have no calls for some of it, so this reaches into them; a test watches over it. What is not found counts as nothing.
 */
import type { Socket } from "node:net"
import type { Writable } from "node:stream"
import type { WebSocket } from "ws"
import { PIECE_BYTES } from "../../protocol/Limits.ts"

const numberIn = (owner: object, name: string): number => {
  const value: unknown = Reflect.get(owner, name)
  return typeof value === "number" ? value : 0
}

const lengthIn = (owner: object, name: string): number => {
  const value: unknown = Reflect.get(owner, name)
  return Array.isArray(value) ? value.length : 0
}

const objectIn = (owner: object, name: string): object | undefined => {
  const value: unknown = Reflect.get(owner, name)
  return typeof value === "object" && value !== null ? value : undefined
}

/** Writes that a stream has taken and the system has not, each with what it costs beside its bytes. */
const pieces = (stream: Writable): number => {
  const state = objectIn(stream, "_writableState")
  return state === undefined ? 0 : numberIn(state, "pendingcb") * PIECE_BYTES
}

/** Bytes that a WebSocket on a stream has yet to hand to the system. */
export const unsent = (ws: WebSocket, stream: Writable): number => {
  const bytes = ws.bufferedAmount
  return bytes === 0 ? 0 : bytes + pieces(stream)
}

/**
 * Bytes of a socket's that the system has taken so far, of TLS those of each layer: it changes while anything leaves, in the
 * middle of a write too, and stands still while nothing does.
 */
export const taken = (socket: Socket): number => {
  let bytes = 0
  for (let handle = objectIn(socket, "_handle"); handle !== undefined; handle = objectIn(handle, "_parent")) {
    bytes += numberIn(handle, "bytesWritten") - numberIn(handle, "writeQueueSize")
  }
  return bytes
}

/** Bytes that Node has taken for a stream and the system has not taken yet, with those of a write that is under way. */
export const notTaken = (stream: Writable): number => {
  const handle = objectIn(stream, "_handle")
  return stream.writableLength + (handle === undefined ? 0 : numberIn(handle, "writeQueueSize"))
}

/** Bytes that have arrived of a message that is not whole. */
export const unfinished = (ws: WebSocket): number => {
  const receiver = objectIn(ws, "_receiver")
  if (receiver === undefined) return 0
  const bytes = numberIn(receiver, "_bufferedBytes") + numberIn(receiver, "_messageLength")
  if (bytes === 0) return 0
  return bytes + (lengthIn(receiver, "_buffers") + lengthIn(receiver, "_fragments")) * PIECE_BYTES
}
