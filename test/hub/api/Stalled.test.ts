/** Whoever follows an agent's log and does not read what comes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { DEADLINE_TICK, HTTP_ANSWER_TIMEOUT, MESSAGE_BYTES } from "../../../src/protocol/Limits.ts"
import { turn } from "../../support/turn.ts"
import { agentOf, startHub, tcp } from "../harness.ts"

/** About the largest page that an agent of ours gives. */
const PAGE = 200 * 1024
const lines = Array.from({ length: PAGE / 1_024 }, () => "x".repeat(1_021))

/** More pages than the kernel's buffers of two sockets take. */
const PAGES = 200

/** A request that does not come in so many turns does not come. */
const TURNS = 2_000

const body = JSON.stringify({ after: "00000000.1", wait: 20_000 })
const request = [
  "POST /api/admin/agents/barn/logs HTTP/1.1",
  "host: hub",
  "authorization: Bearer owner-token",
  "content-type: application/json",
  `content-length: ${body.length}`,
  "",
  body
].join("\r\n")

describe("a follower that stalls", () => {
  it.scoped(
    "is asked for nothing more, makes the hub hold a few pages, and is gone after the time of an answer",
    () =>
      Effect.gen(function* () {
        const hub = yield* startHub()
        const agent = yield* agentOf(hub, { capabilities: { management: true, machineManagement: true } })
        const { ended, socket } = yield* tcp(hub)
        socket.pause()
        let most = 0
        let pages = 0
        const asked = Effect.gen(function* () {
          for (let i = 0; i < TURNS && agent.pending === 0; i++) {
            most = Math.max(most, (yield* hub.counts).held)
            yield* turn
          }
          return agent.pending > 0
        })
        for (; pages < PAGES; pages++) {
          socket.write(request)
          if (!(yield* asked)) break
          const { requestId } = yield* agent.text
          agent.say({ type: "mgmt-response", requestId, ok: true, payload: { lines, cursor: "00000000.1" } })
          yield* agent.settled
          yield* turn
          yield* TestClock.adjust("1 second")
        }
        assert.isAbove(pages, 1)
        assert.isBelow(pages, PAGES, "the hub reads no more requests of whoever does not read")
        assert.isAbove(most, 0)
        assert.isAtMost(most, 4 * MESSAGE_BYTES)

        yield* TestClock.adjust(HTTP_ANSWER_TIMEOUT + DEADLINE_TICK)
        socket.resume()
        yield* ended
        yield* turn
        assert.strictEqual((yield* hub.counts).held, 0)
      }),
    60_000
  )
})
