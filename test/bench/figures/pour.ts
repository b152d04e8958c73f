import type * as Net from "node:net"

/** Writes that many bytes, a chunk at a time, as the socket takes them. */
export const pour = (socket: Net.Socket, bytes: number, whole: Buffer): void => {
  let left = bytes
  const more = () => {
    while (left > 0) {
      const chunk = left < whole.length ? whole.subarray(0, left) : whole
      left -= chunk.length
      if (!socket.write(chunk)) return
    }
    socket.off("drain", more)
  }
  socket.on("drain", more)
  more()
}
