/**
 * Sockets for which there is no place before they have said anything. Each is told so in one small write, where HTTP is
 * spoken on it from the first byte, and then has TURNED_AWAY_LINGER to take it: closed at once, it would be reset by what
 * its peer has sent meanwhile, and the peer would never read why. Of TURNED_AWAY_SOCKETS at a time; others are dropped.
 */
import { STATUS_CODES } from "node:http"
import type { Socket } from "node:net"
import { TURNED_AWAY_LINGER, TURNED_AWAY_SOCKETS } from "../protocol/Limits.ts"
import type { Crowd } from "./Guard.ts"

const reasons: Readonly<Record<Crowd, string>> = {
  address: "too many connections from your address",
  all: "too many connections that have not said who they are"
}

/** What whoever is turned away is told, besides status 503 and when to ask again. */
export const reasonOf = (crowd: Crowd): string => reasons[crowd]

const answerOf = (crowd: Crowd, wait: number): Buffer => {
  const body = `${reasonOf(crowd)}\n`
  return Buffer.from(
    `HTTP/1.1 503 ${STATUS_CODES[503]}\r\nConnection: close\r\nRetry-After: ${wait}\r\n` +
      `Content-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
}

/** Turns a socket away. `wait` is when to ask again, in seconds. */
export const make = (wait: number): ((socket: Socket, crowd: Crowd) => void) => {
  const answers = { address: answerOf("address", wait), all: answerOf("all", wait) }
  let lingering = 0
  return (socket, crowd) => {
    if (lingering >= TURNED_AWAY_SOCKETS) return socket.destroy()
    lingering++
    const timer = setTimeout(() => socket.destroy(), TURNED_AWAY_LINGER).unref()
    socket.once("close", () => {
      clearTimeout(timer)
      lingering--
    })
    socket.end(answers[crowd])
  }
}
