/**
 * The end of a WebSocket that has said goodbye. On a slow path what was sent before takes its time, and whoever cuts it off
 * cuts off the goodbye, too; on a dead one nothing moves, and nobody waits long.
 */
import type { Socket } from "node:net"
import type { WebSocket } from "ws"
import { CLOSE_TIMEOUT, LEAVE_LOOK, LEAVE_MOST } from "../../protocol/Limits.ts"
import { notTaken } from "./memory.ts"

/** Destroys it after CLOSE_TIMEOUT; if anything has moved in that time, the path is alive, and it gets LEAVE_MOST. */
export const endOf = (ws: WebSocket, socket: Socket): void => {
  const begun = performance.now()
  const left = notTaken(socket)
  const read = socket.bytesRead
  let isAlive = false
  const looking = setInterval(() => {
    // What the system has taken cannot be seen any more: that it takes more, or brings something, is all there is.
    isAlive ||= notTaken(socket) !== left || socket.bytesRead !== read
    if (performance.now() - begun >= (isAlive ? LEAVE_MOST : CLOSE_TIMEOUT)) ws.terminate()
  }, LEAVE_LOOK).unref()
  ws.once("close", () => clearInterval(looking))
}
