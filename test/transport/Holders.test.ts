import * as Http from "node:http"
import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Holders from "../../src/transport/Holders.ts"

const ANSWER = Buffer.alloc(4 * 1024 * 1024)
const REQUESTS = 5

/** A server whose answers are counted, and a client that asks several times in one go and reads nothing. */
const stalled = Effect.gen(function* () {
  const holders = Holders.make()
  let answered = 0
  const server = yield* Effect.acquireRelease(
    Effect.async<Http.Server>((resume) => {
      const listening = Http.createServer((_, response) => {
        holders.answer(response, "somewhere")
        response.end(ANSWER)
        answered++
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed(listening)))
    }),
    (listening) =>
      Effect.async<void>((resume) => {
        listening.close(() => resume(Effect.void))
        listening.closeAllConnections()
      })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => Net.connect(port, "127.0.0.1").pause()),
    (client) => Effect.sync(() => client.destroy())
  )
  const accepted = yield* Effect.async<Net.Socket>((resume) => {
    server.once("connection", (connection) => resume(Effect.succeed(connection)))
    socket.write("GET / HTTP/1.1\r\nhost: hub\r\n\r\n".repeat(REQUESTS))
  })
  while (answered < REQUESTS) yield* Effect.promise(() => new Promise(setImmediate))
  return { holders, accepted }
})

describe("answers that nobody reads", () => {
  it.scopedLive("are let go of with their connection, also when one is ended that waits behind another", () =>
    Effect.gen(function* () {
      const { accepted, holders } = yield* stalled
      const all = holders.holders()
      assert.strictEqual(all.length, REQUESTS)
      assert.isAbove(holders.held(), (REQUESTS - 1) * ANSWER.length)
      const closed = new Promise((resolve) => accepted.once("close", resolve))
      all.at(-1)?.end()
      yield* Effect.promise(() => closed)
      assert.strictEqual(holders.held(), 0)
      assert.deepStrictEqual(holders.holders(), [])
    })
  )
})
