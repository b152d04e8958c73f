import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CARRIER_HIGH_WATER } from "../../src/protocol/Limits.ts"
import * as Relay from "../../src/hub/Relay.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import { turn } from "../support/turn.ts"
import { agentOf, frame, session, startHub } from "./harness.ts"
import type { Peer } from "./harness.ts"

const PIECE = 64 * 1024

/** More pieces than the kernel's buffers of four sockets take, which are not ours to bound. */
const PIECES = 512

/** What waits for the stalled reader, a piece beyond it, and of its writer's next piece what has come and one read of more. */
const MOST = CARRIER_HIGH_WATER + 4 * PIECE

/** Turns of the event loop in which nothing moves after which nothing will; too few can hide a fault, not make one up. */
const STILL_TURNS = 200

/** Sends all pieces at once, waits until no more of them moves, and says how much the hub held at most. */
const push = (hub: Effect.Effect.Success<ReturnType<typeof startHub>>, { ws }: Peer) =>
  Effect.gen(function* () {
    const piece = frame(Buffer.alloc(PIECE))
    for (let i = 0; i < PIECES; i++) ws.send(piece)
    let most = 0
    let waiting = ws.bufferedAmount
    for (let still = 0; still < STILL_TURNS || most === 0; still++) {
      yield* turn
      most = Math.max(most, (yield* hub.counts).held)
      if (ws.bufferedAmount !== waiting) still = 0
      waiting = ws.bufferedAmount
    }
    return most
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
        assert.isAtMost(yield* push(hub, from), MOST)
        assert.isAbove(from.ws.bufferedAmount, 0, "its writer waits")
        to.ws.resume()
        for (let i = 0; i < PIECES; i++) assert.strictEqual((yield* to.binary).length, PIECE + 7)
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
      const { relayed } = Relay.join(Inbox.make(client), Inbox.make(agent), { ended: (by) => ends.push(by) })
      const received: Array<Uint8Array> = []
      agentEnd.pause()
      agentEnd.receive({ binary: (data) => received.push(data), text: () => {}, drain: () => {}, closed: () => {} })
      clientEnd.receive({ binary: () => {}, text: () => {}, drain: () => {}, closed: () => {} })
      const piece = frame(Buffer.alloc(16 * 1024))
      const count = 4 * (CARRIER_HIGH_WATER / piece.length)
      for (let i = 0; i < count; i++) clientEnd.send(piece)
      yield* turn
      assert.isAtMost(agent.buffered, CARRIER_HIGH_WATER + piece.length)
      assert.isAtLeast(agent.buffered, CARRIER_HIGH_WATER)
      agentEnd.resume()
      yield* turn
      assert.strictEqual(received.length, Math.ceil(count))
      assert.strictEqual(relayed.toAgent, Math.ceil(count) * piece.length)
      clientEnd.close(1000, "")
      yield* turn
      assert.deepStrictEqual(ends, ["client"])
    })
  )

  it.effect("passes only texts that every reader takes for the same: some do not look at the case of keys", () =>
    Effect.gen(function* () {
      const [clientEnd, client] = MemoryCarrier.pair()
      const [agentEnd, agent] = MemoryCarrier.pair()
      Relay.join(Inbox.make(client), Inbox.make(agent), { ended: () => {} })
      const received: Array<string> = []
      const take = (text: string) => received.push(text)
      agentEnd.receive({ binary: () => {}, text: take, drain: () => {}, closed: () => {} })
      const forged = [
        '{"type":"session-end"}',
        '{"type":"peer-endpoint","Type":"session-end"}',
        '{"TYPE":"session-end","type":"peer-endpoint"}',
        '{"type":"peer-endpoint","type":"session-end"}',
        '{"type":"peer-endpoint","\\u0054ype":"session-end"}',
        '{"Type":"peer-endpoint"}'
      ]
      const plain = ['{"type":"peer-endpoint","typed":1,"kind":"Type"}', '{"x":{"Type":1},"type":"peer-endpoint"}']
      for (const text of [...forged, ...plain]) clientEnd.sendText(text)
      for (let i = 0; i < 4; i++) yield* turn
      assert.deepStrictEqual(received, plain)
    })
  )

  it.effect("takes nothing from either end while it is held, and loses nothing", () =>
    Effect.gen(function* () {
      const [clientEnd, client] = MemoryCarrier.pair()
      const [agentEnd, agent] = MemoryCarrier.pair()
      const { hold } = Relay.join(Inbox.make(client), Inbox.make(agent), { ended: () => {} })
      const received: Array<string> = []
      for (const end of [clientEnd, agentEnd]) {
        const take = (message: Uint8Array) => received.push(Buffer.from(message).toString("latin1", 7))
        end.receive({ binary: take, text: () => {}, drain: () => {}, closed: () => {} })
      }
      hold(true)
      clientEnd.send(frame(Buffer.from("to the agent")))
      agentEnd.send(frame(Buffer.from("to the client")))
      for (let i = 0; i < 4; i++) yield* turn
      assert.deepStrictEqual(received, [])
      hold(false)
      for (let i = 0; i < 4; i++) yield* turn
      assert.deepStrictEqual(received.toSorted(), ["to the agent", "to the client"])
    })
  )

  it.effect("passes nothing once it is unlinked, not even what had arrived by then", () =>
    Effect.gen(function* () {
      const [clientEnd, client] = MemoryCarrier.pair()
      const [agentEnd, agent] = MemoryCarrier.pair()
      const ends: Array<Relay.End> = []
      const { relayed, unlink } = Relay.join(Inbox.make(client), Inbox.make(agent), { ended: (by) => ends.push(by) })
      const received: Array<Uint8Array | string> = []
      for (const end of [clientEnd, agentEnd]) {
        const take = (message: Uint8Array | string) => received.push(message)
        end.receive({ binary: take, text: take, drain: () => {}, closed: () => {} })
      }
      clientEnd.send(frame(Buffer.from("late")))
      agentEnd.sendText('{"type":"wg-pubkey"}')
      agentEnd.send(Buffer.from("no frame at all"))
      unlink()
      yield* turn
      clientEnd.close(1000, "")
      yield* turn
      assert.deepStrictEqual([received, ends, relayed], [[], [], { toAgent: 0, toClient: 0 }])
    })
  )
})
