/**
 * A hub that lies: it stands between a client and the real hub, passes everything on, and lets a test change, repeat or
 * hold back any message.
 */
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { WebSocket, WebSocketServer } from "ws"

/** One message; text as a string. */
export type Message = Buffer | string

/** What is passed on in place of a message. `index` counts the messages of that connection and direction. */
export type Lie = (message: Message, index: number) => ReadonlyArray<Message>

export const honest: Lie = (message) => [message]

export interface LyingHub {
  readonly url: string
  /** What clients are told, and what the real hub is; may be changed at any time. */
  toClient: Lie
  toHub: Lie
}

/** Listens on loopback until the scope ends. */
export const make = (hub: string): Effect.Effect<LyingHub, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly server: WebSocketServer; readonly lying: LyingHub }>((resume) => {
        const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false })
        server.on("listening", () => {
          const { port } = server.address() as AddressInfo
          const lying: LyingHub = { url: `ws://127.0.0.1:${port}`, toClient: honest, toHub: honest }
          server.on("connection", (client) => {
            const upstream = new WebSocket(hub, { perMessageDeflate: false })
            const waiting: Array<Message> = []
            const relay = (from: WebSocket, pass: (message: Message) => void, lie: () => Lie) => {
              let index = 0
              from.on("message", (data: Buffer, isBinary: boolean) => {
                for (const message of lie()(isBinary ? data : data.toString(), index++)) pass(message)
              })
              from.on("error", () => {})
            }
            relay(
              client,
              (message) => (upstream.readyState === upstream.OPEN ? upstream.send(message) : waiting.push(message)),
              () => lying.toHub
            )
            relay(
              upstream,
              (message) => client.send(message),
              () => lying.toClient
            )
            upstream.on("open", () => {
              for (const message of waiting.splice(0)) upstream.send(message)
            })
            client.on("close", () => upstream.terminate())
            upstream.on("close", (code, reason) => client.close(code >= 1000 && code < 1004 ? code : 1008, reason))
          })
          resume(Effect.succeed({ server, lying }))
        })
      }),
      ({ server }) =>
        Effect.async<void>((resume) => {
          for (const client of server.clients) client.terminate()
          server.close(() => resume(Effect.void))
        })
    ),
    ({ lying }) => lying
  )
