/**
 * What the connections of a listener make this program hold: for peers that do not read what they are sent, and for those
 * that do not finish what they say. Measured when somebody asks; counted as it comes in is only what may have been added.
 */
import type { ServerResponse } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { WebSocket } from "ws"
import { PIECE_BYTES } from "../protocol/Limits.ts"
import type { Carrier } from "./Carrier.ts"
import { unfinished } from "./internal/memory.ts"

/** One connection that makes this program hold something. */
export interface Holder {
  /** Of a WebSocket; undefined for an HTTP request. */
  readonly carrier: Carrier | undefined
  /** Whose it is. */
  readonly address: string
  /** Bytes that its peer has not read, and that it has said without having finished; with PIECE_BYTES for each piece. */
  readonly unread: number
  readonly unfinished: number
  /** Destroys the connection, which frees them. */
  readonly end: () => void
}

/** What may be asked of it. */
export interface Held {
  /** Bytes that all connections make this program hold. */
  readonly held: () => number
  /** Those that make it hold any. */
  readonly holders: () => ReadonlyArray<Holder>
  /** Calls `full` whenever about so many bytes have come in since the last time, by which what is held can have grown. */
  readonly onArrived: (bytes: () => number, full: () => void) => void
}

export interface Holders extends Held {
  /** Takes a WebSocket and the stream under it into account, until it closes. */
  readonly webSocket: (ws: WebSocket, stream: Duplex, carrier: Carrier) => void
  /** The same for the answer to an HTTP request. */
  readonly answer: (response: ServerResponse, address: string) => void
  /** The answer has been handed over. */
  readonly answered: (response: ServerResponse) => void
}

interface Connection {
  readonly carrier: Carrier
  readonly stream: Duplex
}

export const make = (): Holders => {
  const connections = new Map<WebSocket, Connection>()
  const answers = new Map<ServerResponse, string>()
  /** Of each connection, the answers that are not over; the connection's end is theirs. */
  const answersOn = new Map<Socket, Set<ServerResponse>>()
  let arrived = 0
  let enough = () => Infinity
  let full = () => {}

  const count = (bytes: number) => {
    arrived += bytes
    if (arrived < enough()) return
    arrived = 0
    // Not amid the work for what came in.
    queueMicrotask(full)
  }
  const chunkArrived = ({ length }: Buffer) => count(length)
  /** One that is relayed may wait in two pieces, its header and itself. */
  const messageArrived = () => count(2 * PIECE_BYTES)
  function webSocketClosed(this: WebSocket) {
    connections.delete(this)
  }
  function answerClosed(this: ServerResponse) {
    answers.delete(this)
    answersOn.get(this.req.socket)?.delete(this)
  }
  /** Node closes only the answer whose turn it is; those that wait behind it would be held for ever. */
  function socketClosed(this: Socket) {
    for (const response of answersOn.get(this) ?? []) answers.delete(response)
    answersOn.delete(this)
  }
  const onSocket = (socket: Socket): Set<ServerResponse> => {
    const known = answersOn.get(socket)
    if (known !== undefined) return known
    const begun = new Set<ServerResponse>()
    answersOn.set(socket, begun)
    socket.once("close", socketClosed)
    return begun
  }

  /** Nothing once it is destroyed. */
  const unreadOf = ({ carrier, stream }: Connection) => (stream.destroyed ? 0 : carrier.buffered)
  /** A stream that is paused may have been read a little further than what was taken from it. */
  const unfinishedOf = (ws: WebSocket, { stream }: Connection) =>
    stream.destroyed ? 0 : unfinished(ws) + stream.readableLength
  /** Node frees what waits behind another answer only with the connection, whatever becomes of the answer itself. */
  const unreadAnswer = ({ req, writableLength }: ServerResponse) => (req.socket.destroyed ? 0 : writableLength)

  return {
    webSocket: (ws, stream, carrier) => {
      connections.set(ws, { carrier, stream })
      ws.on("message", messageArrived)
      ws.on("close", webSocketClosed)
      stream.on("data", chunkArrived)
    },
    answer: (response, address) => {
      const { socket } = response.req
      if (socket.destroyed) return
      answers.set(response, address)
      onSocket(socket).add(response)
      response.once("close", answerClosed)
    },
    answered: (response) => count(response.writableLength),
    held: () => {
      let sum = 0
      for (const [ws, connection] of connections) sum += unreadOf(connection) + unfinishedOf(ws, connection)
      for (const response of answers.keys()) sum += unreadAnswer(response)
      return sum
    },
    holders: () => {
      const all: Array<Holder> = []
      for (const [ws, connection] of connections) {
        const { carrier } = connection
        all.push({
          carrier,
          address: carrier.peer,
          unread: unreadOf(connection),
          unfinished: unfinishedOf(ws, connection),
          end: () => ws.terminate()
        })
      }
      for (const [response, address] of answers) {
        const unread = unreadAnswer(response)
        all.push({ carrier: undefined, address, unread, unfinished: 0, end: () => void response.req.socket.destroy() })
      }
      return all.filter(({ unfinished, unread }) => unread + unfinished > 0)
    },
    onArrived: (bytes, listener) => {
      enough = bytes
      full = listener
    }
  }
}
