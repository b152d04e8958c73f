/** An agent all of whose sessions move, or end while they come up. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Agent from "../../src/agent/Agent.ts"
import type { ConnectEvent } from "../../src/client/ConnectEvent.ts"
import * as Connector from "../../src/client/Connector.ts"
import * as Session from "../../src/client/Session.ts"
import { generate } from "../../src/crypto/KeyPair.ts"
import { encode } from "../../src/protocol/Control.ts"
import { RESUME_GRACE } from "../../src/protocol/Limits.ts"
import * as AgentState from "../../src/store/AgentState.ts"
import { Dialer } from "../../src/transport/Dialer.ts"
import { KeepBudget } from "../../src/tunnel/KeepBudget.ts"
import { agent, client, hubUrl, machine } from "../support/ends.ts"
import * as MemoryHub from "../support/MemoryHub.ts"
import { turn } from "../support/turn.ts"

const settle = Effect.repeatN(turn, 100)

describe("many sessions of an agent", () => {
  it.scoped(
    "two hundred sessions of a machine move at once, when a dial takes 50 ms",
    () =>
      Effect.gen(function* () {
        const hub = yield* MemoryHub.make
        hub.sessionRequest = (request) => ({ ...request, sessionIdx: 1 })
        const budget = new KeepBudget({ total: 2 ** 32, perIdentity: 2 ** 32 })
        let slow = false
        const barn = yield* Agent.make({
          config: { hub: hubUrl, machines: [machine()] },
          identity: generate(),
          state: AgentState.fresh(["barn"]),
          budget
        }).pipe(
          Effect.provideService(Dialer, {
            left: Effect.void,
            dial: (url) => Effect.delay(hub.dial(url), slow ? 50 : 0)
          })
        )
        yield* TestClock.adjust(1)
        yield* barn.registered("barn")
        const all: Array<{ readonly events: Array<ConnectEvent> }> = []
        for (let i = 0; i < 200; i++) {
          const options = yield* client(hub)
          const events: Array<ConnectEvent> = []
          const connector = yield* Connector.make({
            machine: "barn",
            open: (begin) => Session.attempt(options, begin),
            budget,
            onEvent: (event) => void events.push(event)
          })
          yield* Effect.forkScoped(Effect.ignore(connector.session))
          yield* turn
          yield* TestClock.adjust(1)
          yield* connector.session
          all.push({ events })
        }
        slow = true
        hub.tellClients(encode({ type: "drain", retryIn: 500 }))
        yield* settle
        yield* TestClock.adjust(500)
        for (let i = 0; i < 100; i++) {
          yield* turn
          yield* turn
          yield* turn
          yield* TestClock.adjust(50)
        }
        yield* settle
        const moved = all.filter(({ events }) => events.filter((event) => event._tag === "Connected").length === 2)
        assert.strictEqual(moved.length, 200)
      }),
    120_000
  )

  it.scoped(
    "whenever a session that comes up is revoked, nothing is left of it",
    () =>
      Effect.gen(function* () {
        const left: Array<number> = []
        for (let hops = 0; hops < 80; hops++) {
          const scope = yield* Scope.make()
          yield* Effect.gen(function* () {
            const budget = new KeepBudget()
            const total = budget.left
            const hub = yield* MemoryHub.make
            const barn = yield* agent(hub, { budget })
            yield* barn.registered("barn")
            let sessionId = ""
            hub.sessionRequest = (request) => {
              sessionId = request.sessionId
              return request
            }
            let frames = 0
            hub.toAgent = (frame) => {
              if (++frames === 2) {
                let n = hops
                const hop = () => {
                  if (n-- > 0) return queueMicrotask(hop)
                  hub.control("barn")?.sendText(encode({ type: "session-revoked", sessionId, principal: "alice" }))
                }
                hop()
              }
              return [frame]
            }
            const inner = yield* Scope.make()
            const options = yield* client(hub)
            yield* Effect.exit(
              Session.attempt(options, { scope: inner, account: () => new KeepBudget().open("") }).pipe(
                Scope.extend(inner)
              )
            )
            yield* settle
            yield* Scope.close(inner, Exit.void)
            yield* settle
            yield* TestClock.adjust(2 * RESUME_GRACE)
            yield* settle
            if (budget.left !== total) left.push(hops)
          }).pipe(Scope.extend(scope))
          yield* Scope.close(scope, Exit.void)
        }
        assert.deepStrictEqual(left, [])
      }),
    120_000
  )
})
