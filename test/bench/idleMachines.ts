/**
 * Registers machines on a hub over plain WebSockets, as a deployed agent would, and keeps them there until it is ended.
 *
 *     idleMachines <hub url> <first> <last>      with the token in TELA_TOKEN
 */
import { randomUUID } from "node:crypto"
import { WebSocket } from "ws"

/** Below the hub's bound on sockets of one address that have not authenticated yet. */
const AT_A_TIME = 8

const [url = "", first = "0", last = "0"] = process.argv.slice(2)

const register = (machine: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { perMessageDeflate: false })
    socket.once("open", () =>
      socket.send(
        JSON.stringify({
          type: "register",
          protocolVersion: 1,
          machineName: `machine-${machine}`,
          agentId: randomUUID(),
          machineRegistrationId: randomUUID(),
          displayName: `Machine ${machine}`,
          hostname: `machine-${machine}.example.com`,
          os: "linux",
          agentVersion: "v0.17.0",
          token: process.env["TELA_TOKEN"],
          ports: [22, 5432],
          services: [
            { port: 22, proto: "tcp", name: "SSH" },
            { port: 5432, proto: "tcp", name: "PostgreSQL" }
          ]
        })
      )
    )
    socket.once("message", (message: Buffer) => {
      const text = message.toString()
      if (text.includes('"registered"')) resolve()
      else reject(new Error(`machine-${machine} was refused: ${text}`))
    })
    socket.once("error", reject)
    socket.on("close", (code) => {
      throw new Error(`machine-${machine} lost its connection (${code})`)
    })
  })

let next = Number(first)
const worker = async () => {
  while (next <= Number(last)) await register(next++)
}
await Promise.all(Array.from({ length: AT_A_TIME }, worker))
console.log(`all registered`)
