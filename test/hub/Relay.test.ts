import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CARRIER_HIGH_WATER } from "../../src/protocol/Limits.ts"
import * as Relay from "../../src/hub/Relay.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import { agentOf, frame, session, startHub } from "./harness.ts"
import type { Peer } from "./harness.ts"

const PIECE = 64 * 1024

/** Sends without end, as fast as its own socket takes it; stops when that takes no more for good. */
const push = (peer: Peer, stop: { readonly bytes: number }) =>
  Effect.async<number>((resume) => {
    let sent = 0
    let stuck = false
    let idle: NodeJS.Timeout | undefined
    const piece = frame(Buffer.alloc(PIECE))
    const next = () => {
      if (stuck) return
      clearTimeout(idle)
      if (sent >= stop.bytes) return resume(Effect.succeed(sent))
      // The peer is stuck when its own socket has taken nothing for this long.
      idle = setTimeout(() => {
        stuck = true
        resume(Effect.succeed(sent))
      }, 700)
      sent += piece.length
      peer.ws.send(piece, next)
    }
    next()
    return Effect.sync(() => clearTimeout(idle))
  })

describe("Relay", () => {
  it.scoped("a reader that stalls stops its writer; the hub holds little and loses nothing", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const { client, joined } = yield* session(hub, yield* agentOf(hub))
      for (const [from, to] of [
        [client, joined],
        [joined, client]
      ] as const) {
        to.ws.pause()
        const sent = yield* push(from, { bytes: 400 * 1024 * 1024 })
        // What the kernel's buffers of four sockets take is not ours to bound.
        assert.isBelow(sent, 32 * 1024 * 1024)
        assert.isAtMost((yield* hub.counts).held, CARRIER_HIGH_WATER + 2 * PIECE)
        const pieces = sent / (PIECE + 7)
        to.ws.resume()
        for (let i = 0; i < pieces; i++) assert.strictEqual((yield* to.binary).length, PIECE + 7)
        from.frame(frame(Buffer.from("flows again")))
        assert.deepStrictEqual(yield* to.binary, frame(Buffer.from("flows again"), 7))
        assert.strictEqual((yield* hub.counts).held, 0)
      }
    })
  )

  it.effect("pauses the source while the sink is full, and resumes it on drain", () =>
    Effect.gen(function* () {
      const [clientEnd, client] = MemoryCarrier.pair()
      const [agentEnd, agent] = MemoryCarrier.pair()
      const ends: Array<Relay.End> = []
      const relayed = Relay.join(Inbox.make(client), Inbox.make(agent), (by) => ends.push(by))
      const received: Array<Uint8Array> = []
      agentEnd.pause()
      agentEnd.receive({ binary: (data) => received.push(data), text: () => {}, drain: () => {}, closed: () => {} })
      clientEnd.receive({ binary: () => {}, text: () => {}, drain: () => {}, closed: () => {} })
      const piece = frame(Buffer.alloc(16 * 1024))
      const count = 4 * (CARRIER_HIGH_WATER / piece.length)
      for (let i = 0; i < count; i++) clientEnd.send(piece)
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.isAtMost(agent.buffered, CARRIER_HIGH_WATER + piece.length)
      assert.isAtLeast(agent.buffered, CARRIER_HIGH_WATER)
      agentEnd.resume()
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.strictEqual(received.length, Math.ceil(count))
      assert.strictEqual(relayed.toAgent, Math.ceil(count) * piece.length)
      clientEnd.close(1000, "")
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.deepStrictEqual(ends, ["client"])
    })
  )
})
