/** What an agent still delivers to services when the client is gone: counted, bounded, and given back. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as Session from "../../src/client/Session.ts"
import { DELIVERY_LINGER, KEPT_RESERVE, LINGERING_STREAM_BYTES } from "../../src/protocol/Limits.ts"
import type { StreamReset } from "../../src/protocol/StreamReset.ts"
import type { ByteStream } from "../../src/transport/ByteStream.ts"
import { KeepBudget } from "../../src/tunnel/KeepBudget.ts"
import { agent, client } from "../support/ends.ts"
import * as MemoryHub from "../support/MemoryHub.ts"
import { turn } from "../support/turn.ts"

const MiB = 2 ** 20
const TOTAL = 8 * MiB
const CHUNK = Buffer.alloc(65_536, 1)
/** Of each stream, of which the service takes one chunk at most. */
const CHUNKS = 3
const STREAMS = 8
const ROUND = STREAMS * CHUNKS * CHUNK.length

/** A service that does not read until it is let, and how its connections ended. */
const stuck = () => {
  const resets: Array<StreamReset | undefined> = []
  const drains = new Set<() => void>()
  let received = 0
  let ended = 0
  let isStuck = true
  const reach = (): Effect.Effect<ByteStream> =>
    Effect.sync(() => {
      let closed: (why: StreamReset | undefined) => void = () => {}
      let isClosed = false
      return {
        write: (chunk) => {
          received += chunk.length
          return !isStuck
        },
        end: () => ended++,
        reset: (why) => {
          if (isClosed) return
          isClosed = true
          resets.push(why)
          closed(why)
        },
        pause: () => {},
        resume: () => {},
        attach: (handlers) => {
          closed = handlers.closed
          drains.add(handlers.drain)
        }
      }
    })
  return {
    reach,
    resets,
    received: () => received,
    ended: () => ended,
    read: () => {
      isStuck = false
      for (const drain of drains) drain()
    }
  }
}

const patiently = (holds: () => boolean) =>
  Effect.iterate(0, { while: (turns) => turns < 2_000 && !holds(), body: (turns) => Effect.as(turn, turns + 1) })

const world = Effect.gen(function* () {
  const budget = new KeepBudget({ total: TOTAL, perIdentity: TOTAL })
  const hub = yield* MemoryHub.make
  const service = stuck()
  const barn = yield* agent(hub, { reach: service.reach, budget })
  yield* barn.registered("barn")
  const scope = yield* Effect.scope
  const arrived = () => service.received() + barn.held().undelivered
  /** A client that sends, finishes, says goodbye, and does not care. */
  const round = (resumable: boolean) =>
    Effect.gen(function* () {
      const options = yield* client(hub)
      const account = resumable ? () => new KeepBudget().open("") : undefined
      const { kept, session } = yield* Session.attempt(options, { scope, account })
      assert.strictEqual(kept !== undefined, resumable)
      const before = arrived()
      for (let i = 0; i < STREAMS; i++) {
        const stream = yield* session.tunnel.open({ port: 22 })
        stream.attach({ data: () => {}, end: () => {}, drain: () => {}, closed: () => {} })
        for (let chunk = 0; chunk < CHUNKS; chunk++) stream.write(CHUNK)
        stream.end()
      }
      yield* patiently(() => arrived() - before === ROUND)
      yield* Effect.repeatN(turn, 20)
      session.tunnel.close("done")
      yield* Effect.repeatN(turn, 20)
    })
  return { barn, budget, round, service }
})

describe("what is still delivered after a link's end", () => {
  for (const resumable of [true, false]) {
    const which = resumable ? "that could go on elsewhere" : "that could not"
    it.scoped(`counts until it is delivered, of a link ${which}`, () =>
      Effect.gen(function* () {
        const { barn, budget, round, service } = yield* world
        yield* round(resumable)
        const { undelivered } = barn.held()
        assert.strictEqual(undelivered, ROUND - service.received())
        assert.isAtLeast(undelivered, ROUND / 2)
        assert.isAtLeast(TOTAL - budget.left, undelivered + STREAMS * LINGERING_STREAM_BYTES)
        assert.isAtMost(TOTAL - budget.left, 2 * undelivered + STREAMS * LINGERING_STREAM_BYTES)
        service.read()
        yield* patiently(() => barn.held().streams === 0)
        assert.strictEqual(service.received(), ROUND)
        assert.strictEqual(service.ended(), STREAMS)
        assert.strictEqual(budget.left, TOTAL)
      })
    )

    it.scoped(`never exceeds the memory there is, of one link after the other ${which}`, () =>
      Effect.gen(function* () {
        const { barn, budget, round, service } = yield* world
        const rounds = (3 * TOTAL) / ROUND
        for (let i = 0; i < rounds; i++) yield* round(resumable)
        const { undelivered } = barn.held()
        assert.isAtLeast(undelivered, TOTAL / 3)
        assert.isAtMost(undelivered, TOTAL - budget.left)
        assert.isAtLeast(budget.left, KEPT_RESERVE, "the next one finds a reserve")
        assert.isAbove(service.resets.length, STREAMS)
        assert.match(service.resets[0]?.reason ?? "", /too much has yet to be delivered/)
        yield* TestClock.adjust(DELIVERY_LINGER)
        yield* patiently(() => budget.left === TOTAL)
        assert.strictEqual(budget.left, TOTAL)
        assert.deepInclude(barn.held(), { undelivered: 0, streams: 0 })
        assert.strictEqual(service.resets.length, rounds * STREAMS)
      })
    )
  }
})
