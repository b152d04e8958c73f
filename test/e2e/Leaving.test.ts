/** Programs that are told to stop in the middle of a copy: the other end is told so, however slow the way. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Sockets from "./harness/Sockets.ts"
import * as WiredWorld from "./harness/WiredWorld.ts"

/** Bytes a second: what waits on the way takes longer than a closing socket gets that does not move. */
const RATE = 1_500_000

const CHUNK = Buffer.alloc(64 * 1024, 7)

/** Writes for as long as it is read. */
const pour = (socket: { write: (bytes: Buffer, done: (error?: Error | null) => void) => void }): void => {
  socket.write(CHUNK, (error) => {
    if (error === undefined || error === null) pour(socket)
  })
}

const world = Effect.gen(function* () {
  const closes: Array<Effect.Effect<Sockets.Close>> = []
  let taken = 0
  const service = yield* Sockets.serve((socket) => {
    closes.push(Sockets.closeOf(socket))
    socket.on("data", (chunk: Buffer) => (taken += chunk.length))
  })
  const source = yield* Sockets.serve(pour)
  const wired = yield* WiredWorld.make({
    services: [
      { port: service, name: "sink" },
      { port: source, name: "source" }
    ]
  })
  const client = yield* wired.connect()
  return { wired, client, closes, taken: () => taken }
})

const until = (holds: () => boolean) => Effect.repeat(Effect.delay(Effect.sync(holds), 20), { until: (held) => held })

describe("a program that is told to stop", () => {
  it.scopedLive("a client that uploads ends its link at the agent, and nothing is kept for it", () =>
    Effect.gen(function* () {
      const { client, closes, taken, wired } = yield* world
      wired.clientWire.slow(RATE)
      const local = yield* Sockets.open(client.port("sink"))
      pour(local)
      yield* until(() => taken() > RATE)
      const mark = wired.agent().mark()
      assert.strictEqual((yield* client.program.end("SIGINT")).code, 0)
      yield* wired.agent().expect(/session ended/, { from: mark, within: "3 seconds" })
      assert.notMatch(wired.agent().output().slice(mark), /session lost/)
      const [close] = yield* Effect.all(closes)
      assert.strictEqual(close, "reset")
    })
  )

  it.scopedLive(
    "an agent from which a client downloads ends the client's connections with itself",
    () =>
      Effect.gen(function* () {
        const { client, wired } = yield* world
        wired.agentWire.slow(RATE)
        const local = yield* Sockets.open(client.port("source"))
        const closed = Sockets.closeOf(local)
        let taken = 0
        local.on("data", (chunk: Buffer) => (taken += chunk.length))
        yield* until(() => taken > RATE)
        yield* wired.agent().end("SIGTERM", "20 seconds")
        assert.strictEqual(yield* Effect.timeout(closed, "3 seconds"), "reset")
        assert.notMatch(client.program.output("stderr"), /connections? waits?/)
      }),
    60_000
  )
})
