import { assert, describe, it } from "@effect/vitest"
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import { logLines } from "../../support/logLines.ts"
import { turn } from "../../support/turn.ts"
import * as G from "./gateway.ts"

/** Whole requests, and pieces of some, right and wrong: put together at random they get far into every state. */
const whole = [
  "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
  "HEAD /none HTTP/1.0\r\n\r\n",
  "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
  "POST /c HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  "GET /d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
  "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
]
const pieces = [
  "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n",
  "POST /y HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
  "GET /z HTTP/1.1\r\n",
  "Host: h\r\n",
  "\r\n",
  "\n",
  "5\r\nhello\r\n",
  "hello",
  "\x00\xff\x81\x05"
]

const attempt = FastCheck.record({
  sent: FastCheck.array(FastCheck.constantFrom(...whole, ...whole, ...pieces), { minLength: 1, maxLength: 6 }),
  /** In pieces of so many bytes. */
  piece: FastCheck.integer({ min: 1, max: 80 }),
  /** How many turns later it goes: an answer takes some. */
  stay: FastCheck.integer({ min: 0, max: 60 }),
  end: FastCheck.constantFrom("end", "reset", "destroy")
})

/** Sends it, piece by piece, each in a turn of its own, and goes in the way that is asked for. */
const run = (
  port: number,
  { end, piece, sent, stay }: typeof attempt extends FastCheck.Arbitrary<infer A> ? A : never
) =>
  Effect.gen(function* () {
    const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }).on("error", () => {})
    socket.resume()
    const closed = Effect.async<void>((resume) => void socket.once("close", () => resume(Effect.void)))
    const bytes = Buffer.from(sent.join(""), "latin1")
    for (let i = 0; i < bytes.length && !socket.destroyed; i += piece) {
      socket.write(bytes.subarray(i, i + piece))
      yield* turn
    }
    yield* Effect.repeatN(turn, stay)
    if (socket.destroyed) return
    socket.on("end", () => socket.end())
    if (end === "end") socket.end()
    else if (end === "reset") socket.resetAndDestroy()
    else socket.destroy()
    if (!socket.closed) yield* closed
  })

describe("a gateway among hostile clients and targets", () => {
  it.scopedLive("lives on, and keeps nothing, whatever is sent and wherever it stops", () =>
    Effect.gen(function* () {
      let seen = 0
      const app = yield* G.target(
        (request, response) => {
          request.on("error", () => {})
          // Every third answer comes before the request has ended, and every fourth breaks off.
          seen++
          if (seen % 4 === 0) response.write("half", () => response.destroy())
          else if (seen % 3 === 0) response.end("early")
          else request.resume().on("end", () => response.end("late"))
        },
        (server) =>
          server.on("upgrade", (_request, socket) => {
            socket.on("error", () => {})
            if (seen++ % 2 === 0) return socket.destroy()
            socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi")
            return socket.pipe(socket)
          })
      )
      const { gateway, port } = yield* G.serve([
        G.route("/", app),
        G.route("/ws", app),
        G.route("/none", yield* G.freshPort)
      ]).pipe(Effect.provide((yield* logLines).layer))
      const attempts = FastCheck.sample(attempt, { numRuns: 300, seed: 20_261_129 })
      yield* Effect.forEach(attempts, (each) => run(port, each), { concurrency: 8 })
      yield* Effect.repeat(turn, { until: () => gateway.connections() === 0 })
      assert.isAbove(seen, attempts.length / 4, "requests that reached the target")
      assert.strictEqual((yield* G.say(port, "GET /none HTTP/1.0\r\n\r\n")).slice(0, 12), "HTTP/1.1 502")
    })
  )
})
