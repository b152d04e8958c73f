/**
 * A service at the far end of every contender, in a process of its own: `bulk`, which takes or sends a given number of
 * bytes, or `echo`. Prints its port as JSON.
 *
 *     target bulk|echo
 *
 * A bulk connection starts with 9 bytes: `U` or `D`, and a little-endian count. After `U`, the count follows and one
 * byte is answered when it has all come; after `D`, the count is sent.
 */
import * as Net from "node:net"
import { pour } from "./figures/pour.ts"

const HEADER_BYTES = 9
const CHUNK = Buffer.alloc(64 * 1024, 0x5a)

const bulk = (socket: Net.Socket) => {
  let wanted = -1
  let got = 0
  socket.on("data", (chunk: Buffer) => {
    if (wanted < 0) {
      // the header is the first write of its connection, and arrives whole on loopback and through every contender
      const count = Number(chunk.readBigUInt64LE(1))
      if (chunk[0] === 0x44) return pour(socket, count, CHUNK)
      wanted = HEADER_BYTES + count
    }
    got += chunk.length
    if (got === wanted) socket.write("!")
  })
}

const echo = (socket: Net.Socket) => {
  socket.on("data", (chunk) => socket.write(chunk))
}

const listen = (handle: (socket: Net.Socket) => void): Promise<number> =>
  new Promise((resolve) => {
    const server = Net.createServer({ noDelay: true }, (socket) => {
      socket.on("error", () => {})
      handle(socket)
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(typeof address === "object" && address !== null ? address.port : 0)
    })
  })

console.log(JSON.stringify({ port: await listen(process.argv[2] === "bulk" ? bulk : echo) }))
