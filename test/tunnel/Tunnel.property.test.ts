import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import type { ByteStream } from "../../src/transport/ByteStream.ts"
import { type Collected, collect } from "../support/collect.ts"
import { tunnels } from "./support.ts"

/** Writes chunks of these sizes as the stream takes them, then ends. Bytes follow from the seed. */
const pour = (stream: ByteStream, collected: Collected, sizes: ReadonlyArray<number>, seed: number) =>
  Effect.gen(function* () {
    const hash = createHash("sha256")
    for (const [index, size] of sizes.entries()) {
      const chunk = Buffer.alloc(size, seed + index)
      hash.update(chunk)
      const drains = collected.drains
      if (!stream.write(chunk)) yield* Effect.raceFirst(collected.drained(drains), collected.closed)
      else if (index % 3 === 0) yield* Effect.yieldNow()
    }
    stream.end()
    return hash.digest("hex")
  })

const digest = (collected: Collected) =>
  Effect.map(collected.ended, () => {
    const hash = createHash("sha256")
    for (const chunk of collected.chunks) hash.update(chunk)
    return hash.digest("hex")
  })

const sizes = FastCheck.array(
  FastCheck.oneof(FastCheck.integer({ min: 0, max: 300 }), FastCheck.integer({ min: 0, max: 200_000 })),
  {
    maxLength: 12
  }
)
const plan = FastCheck.array(
  FastCheck.record({ fromClient: FastCheck.boolean(), there: sizes, back: sizes, pauses: FastCheck.boolean() }),
  { minLength: 1, maxLength: 12 }
)

describe("a tunnel", () => {
  it("delivers every stream's bytes in order in both directions, whatever the others do", async () => {
    await FastCheck.assert(
      FastCheck.asyncProperty(plan, (streams) =>
        Effect.gen(function* () {
          const { client, agent } = yield* tunnels()
          yield* Effect.forEach(
            streams,
            ({ fromClient, there, back, pauses }, index) =>
              Effect.gen(function* () {
                const [opener, acceptor] = fromClient ? [client.tunnel, agent.tunnel] : [agent.tunnel, client.tunnel]
                const accept = Effect.map(acceptor.accept, (incoming) => ({
                  stream: incoming.accept(),
                  target: incoming.target
                }))
                const [ours, theirs] = yield* Effect.all([opener.open({ port: 1 + index }), accept], { concurrency: 2 })
                const near = collect(ours)
                const far = collect(theirs.stream)
                if (pauses) theirs.stream.pause()
                yield* Effect.all(
                  [
                    Effect.all([pour(ours, near, there, index), Effect.void]),
                    pour(theirs.stream, far, back, 100),
                    Effect.yieldNow().pipe(
                      Effect.repeatN(5),
                      Effect.andThen(() => theirs.stream.resume())
                    )
                  ],
                  { concurrency: 3 }
                ).pipe(
                  Effect.tap(([[sent], returned]) =>
                    Effect.gen(function* () {
                      assert.strictEqual(yield* digest(near), returned)
                      assert.strictEqual(yield* digest(far), sent)
                    })
                  )
                )
                assert.isUndefined(yield* near.closed)
                assert.isUndefined(yield* far.closed)
              }),
            // One opening at a time, so that what is accepted is what was opened; the streams live side by side.
            { concurrency: 1 }
          )
          assert.strictEqual(client.tunnel.held().streams, 0)
          assert.strictEqual(agent.tunnel.held().streams, 0)
          assert.strictEqual(client.tunnel.held().unsent + agent.tunnel.held().undelivered, 0)
        }).pipe(Effect.scoped, Effect.runPromise)
      ),
      { numRuns: 40 }
    )
  })
})
