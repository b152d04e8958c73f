/**
 * Where the answer to a request is written: Node's response, or, when Node has left the connection to us because it was to
 * become a WebSocket, the bare connection.
 */
import { type ServerResponse, STATUS_CODES } from "node:http"
import type { Writable } from "node:stream"
import type { InnerSocket } from "../InnerSocket.ts"
import * as HttpHeaders from "../HttpHeaders.ts"

/** An answer that is no target's, whole. */
export interface Page {
  readonly status: number
  /** Without those that frame the body. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Reply {
  /** Sends status and headers, and says where the body is written. Throws on a header that cannot be sent. */
  readonly begin: (status: number, headers: HttpHeaders.RawHeaders) => Writable
  /** Sends a page; the connection is left open for a next request where that is possible. */
  readonly page: (page: Page) => void
  /** The answer that will be sent is the last one on its connection. */
  readonly last: () => void
}

const framed = ({ body, headers }: Page): HttpHeaders.RawHeaders => [
  ...Object.entries(headers).flat(),
  "content-length",
  String(Buffer.byteLength(body))
]

/** Through Node, which frames the body as the client's version asks for. `hasBody` says whether the request has one. */
export const ofResponse = (response: ServerResponse, hasBody: boolean): Reply => {
  const begin = (status: number, headers: HttpHeaders.RawHeaders) => {
    // Who is answered before the end of the request need not send the rest of it: this is the connection's last answer.
    if (hasBody && !response.req.complete) response.shouldKeepAlive = false
    return response.writeHead(status, [...headers])
  }
  return {
    last: () => {
      response.shouldKeepAlive = false
    },
    begin,
    page: (page) => {
      begin(page.status, framed(page)).end(response.req.method === "HEAD" ? undefined : page.body)
    }
  }
}

/** A status line and headers as they are sent. */
export const head = (status: number, headers: HttpHeaders.RawHeaders): string => {
  const lines = [...HttpHeaders.pairs(headers)].map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines.join("")}\r\n`
}

/** On the bare connection, which ends with the answer. */
export const ofSocket = (socket: InnerSocket): Reply => {
  const begin = (status: number, headers: HttpHeaders.RawHeaders) => {
    socket.write(head(status, [...headers, "Connection", "close"]), "latin1")
    socket.once("finish", () => socket.destroy())
    return socket
  }
  return {
    last: () => {},
    begin,
    page: (page) => {
      begin(page.status, framed(page)).end(page.body)
    }
  }
}
