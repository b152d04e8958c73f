/** Sockets for which there is no place: what each is told, and how long and for how many the listener waits. */
import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TURNED_AWAY_LINGER, TURNED_AWAY_SOCKETS } from "../../src/protocol/Limits.ts"
import * as TurnedAway from "../../src/transport/TurnedAway.ts"

/** A server that turns everybody away, and how many of its sockets stand. */
const server = Effect.gen(function* () {
  const turnAway = TurnedAway.make(10)
  let standing = 0
  const listening = Net.createServer({ allowHalfOpen: true }, (socket) => {
    standing++
    socket.on("error", () => {})
    socket.on("close", () => standing--)
    turnAway(socket, "all")
  })
  yield* Effect.acquireRelease(
    Effect.async<void>((resume) => void listening.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () => Effect.sync(() => listening.close())
  )
  const address = listening.address()
  return { port: typeof address === "object" && address !== null ? address.port : 0, standing: () => standing }
})

/** One who never ends its own direction; what it was told when the other ended. */
const rude = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }).on("error", () => {})),
    (socket) => Effect.sync(() => socket.destroy())
  ).pipe(
    Effect.flatMap((socket) =>
      Effect.async<string>((resume) => {
        let text = ""
        socket.on("data", (chunk: Buffer) => (text += chunk.toString()))
        for (const event of ["end", "close"]) socket.once(event, () => resume(Effect.succeed(text)))
      })
    )
  )

describe("who is turned away", () => {
  it.scopedLive("is told so in HTTP, so many at a time, and is gone after a second", () =>
    Effect.gen(function* () {
      const { port, standing } = yield* server
      const begun = performance.now()
      const ask = Effect.all(
        Array.from({ length: TURNED_AWAY_SOCKETS + 8 }, () => rude(port)),
        { concurrency: "unbounded" }
      )
      const told = (yield* ask).filter((text) => text !== "")
      if (performance.now() - begun < TURNED_AWAY_LINGER) {
        assert.strictEqual(told.length, TURNED_AWAY_SOCKETS)
        assert.strictEqual(standing(), TURNED_AWAY_SOCKETS)
      }
      assert.strictEqual(
        told[0],
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 10\r\nContent-Type: text/plain\r\n" +
          "Content-Length: 53\r\n\r\ntoo many connections that have not said who they are\n"
      )
      yield* Effect.repeat(Effect.delay(Effect.sync(standing), 20), { until: (count) => count === 0 })
      assert.isBelow(performance.now() - begun, 10 * TURNED_AWAY_LINGER)
      assert.isAbove((yield* rude(port)).length, 0, "there is room again")
    })
  )
})
