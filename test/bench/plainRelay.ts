/**
 * Yardstick (a): what two WebSocket hops cost by themselves. Hub, agent and client as Tela has them, each in its own
 * process, messages of the same size with the same 7-byte header, a zero mask, and backpressure; but no encryption, and
 * a pair of sockets for each connection instead of a mux.
 *
 *     plainRelay hub
 *     plainRelay agent  <hub port> <bulk port> <echo port>
 *     plainRelay client <hub port>
 */
import * as Http from "node:http"
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import { WebSocket, WebSocketServer } from "ws"

const HEADER_BYTES = 7
const HIGH_WATER = 1024 * 1024
const OPTIONS = { perMessageDeflate: false, maxPayload: HIGH_WATER } as const
const SERVICES = ["bulk", "echo"] as const

interface Side {
  readonly ws: WebSocket
  /** The connection under it, which says when there is room again. */
  readonly under: Duplex
}

const resumeWhenDrained = (to: Side, resume: () => void): boolean => {
  if (to.ws.bufferedAmount <= HIGH_WATER) return false
  to.under.once("drain", resume)
  return true
}

const listen = (server: Net.Server): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(typeof address === "object" && address !== null ? address.port : 0)
    })
  })

const forward = (from: Side, to: Side) => {
  from.ws.on("message", (message: Buffer) => {
    message[1] = 7
    to.ws.send(message, { binary: true })
    if (!from.ws.isPaused && resumeWhenDrained(to, () => from.ws.resume())) from.ws.pause()
  })
  from.ws.on("close", () => to.ws.terminate())
}

const hub = async () => {
  const server = Http.createServer()
  const sockets = new WebSocketServer({ ...OPTIONS, noServer: true })
  const waiting = new Map<string, Side>()
  let agent: WebSocket | undefined
  let next = 0
  server.on("upgrade", (request, under, head) => {
    sockets.handleUpgrade(request, under, head, (ws) => {
      request.socket.setNoDelay(true)
      ws.on("error", () => {})
      const [, role, argument = ""] = (request.url ?? "").split("/")
      if (role === "agent") {
        agent = ws
        console.log("agent is here")
      } else if (role === "client") {
        const id = String(next++)
        ws.pause()
        waiting.set(id, { ws, under })
        agent?.send(`${id} ${argument}`)
      } else {
        const client = waiting.get(argument)
        if (client === undefined) return ws.terminate()
        waiting.delete(argument)
        forward(client, { ws, under })
        forward({ ws, under }, client)
        client.ws.send("ready")
        client.ws.resume()
      }
    })
  })
  console.log(JSON.stringify({ port: await listen(server) }))
}

/** Opens a WebSocket that is paused until somebody listens. */
const dial = (url: string): Promise<Side> =>
  new Promise((resolve, reject) => {
    const ws = new WebSocket(url, { ...OPTIONS, generateMask: (mask) => mask.fill(0) })
    let under: Duplex | undefined
    ws.once("upgrade", (response) => {
      under = response.socket
      response.socket.setNoDelay(true)
    })
    ws.once("error", reject)
    ws.once("open", () => {
      ws.on("error", () => {})
      ws.pause()
      if (under !== undefined) resolve({ ws, under })
    })
  })

const pipe = (side: Side, socket: Net.Socket) => {
  socket.on("error", () => {})
  socket.on("data", (data: Buffer) => {
    const message = Buffer.allocUnsafe(HEADER_BYTES + data.length)
    message.fill(0, 0, HEADER_BYTES)
    message[0] = 0x54
    data.copy(message, HEADER_BYTES)
    side.ws.send(message, { binary: true })
    if (resumeWhenDrained(side, () => socket.resume())) socket.pause()
  })
  side.ws.on("message", (message: Buffer, isBinary: boolean) => {
    if (!isBinary || socket.write(message.subarray(HEADER_BYTES))) return
    side.ws.pause()
    socket.once("drain", () => side.ws.resume())
  })
  side.ws.resume()
  socket.on("close", () => side.ws.close())
  side.ws.on("close", () => socket.destroy())
}

const agent = async (hubUrl: string, ports: Readonly<Record<string, number>>) => {
  const control = await dial(`${hubUrl}/agent`)
  control.ws.on("message", async (message: Buffer) => {
    const [id = "", service = ""] = message.toString().split(" ")
    const side = await dial(`${hubUrl}/join/${id}`)
    pipe(side, Net.connect({ port: ports[service] ?? 0, host: "127.0.0.1", noDelay: true }))
  })
  control.ws.resume()
}

const client = async (hubUrl: string) => {
  const bound = SERVICES.map(async (service) => {
    const server = Net.createServer({ noDelay: true, pauseOnConnect: true }, async (socket) => {
      const side = await dial(`${hubUrl}/client/${service}`)
      side.ws.once("message", () => {
        pipe(side, socket)
        socket.resume()
      })
      side.ws.resume()
    })
    return [service, await listen(server)] as const
  })
  console.log(JSON.stringify(Object.fromEntries(await Promise.all(bound))))
}

const [role, hubPort, bulk, echo] = process.argv.slice(2)
const hubUrl = `ws://127.0.0.1:${hubPort}`
if (role === "hub") await hub()
else if (role === "agent") await agent(hubUrl, { bulk: Number(bulk), echo: Number(echo) })
else await client(hubUrl)
