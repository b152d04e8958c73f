import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { generate } from "../../src/crypto/KeyPair.ts"
import { STREAM_CREDIT_MAX, STREAM_SEND_QUEUE } from "../../src/protocol/Limits.ts"
import { ResetCode, StreamReset } from "../../src/protocol/StreamReset.ts"
import type { Carrier } from "../../src/transport/Carrier.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import * as Stream1 from "../../src/tunnel/Stream1.ts"
import { bound } from "../support/carriers.ts"
import { collect } from "../support/collect.ts"
import { turn } from "../support/turn.ts"
import { agentHello, agentIdentity, clientIdentity, session, tunnels } from "./support.ts"

/** Opens a stream and accepts it on the other side. */
const stream = Effect.gen(function* () {
  const both = yield* tunnels()
  const [ours, theirs] = yield* Effect.all(
    [both.client.tunnel.open({ port: 22 }), Effect.map(both.agent.tunnel.accept, (incoming) => incoming.accept())],
    { concurrency: 2 }
  )
  return { ...both, ours, theirs }
})

/** A carrier whose outgoing binary messages a hub could change: `tamper` returns what it relays in place of each. */
const through = (
  carrier: Carrier,
  tamper: (message: Uint8Array, index: number) => ReadonlyArray<Uint8Array>
): Carrier => {
  let index = 0
  return {
    ...bound(carrier),
    send: (message) => {
      let more = true
      for (const relayed of tamper(Uint8Array.from(message), index++)) more = carrier.send(relayed)
      return more
    }
  }
}

describe("stream/1", () => {
  it.scoped("tells each side who the other is and what it offers", () =>
    Effect.gen(function* () {
      const { client, agent } = yield* tunnels()
      assert.deepStrictEqual(client.hello, agentHello)
      assert.strictEqual(agent.client, clientIdentity.publicHex)
    })
  )

  it.scoped("carries bytes and half-closes in both directions", () =>
    Effect.gen(function* () {
      const { ours, theirs } = yield* stream
      const here = collect(ours)
      const there = collect(theirs)
      ours.write(Buffer.from("question"))
      ours.end()
      yield* there.ended
      assert.strictEqual(Buffer.concat(there.chunks).toString(), "question")
      theirs.write(Buffer.from("answer"))
      theirs.end()
      yield* here.ended
      assert.strictEqual(Buffer.concat(here.chunks).toString(), "answer")
      assert.isUndefined(yield* here.closed)
      assert.isUndefined(yield* there.closed)
    })
  )

  it.scoped("passes a reset with its reason, and drops what was queued", () =>
    Effect.gen(function* () {
      const { ours, theirs } = yield* stream
      const here = collect(ours)
      const there = collect(theirs)
      theirs.reset(new StreamReset({ code: ResetCode.cancelled, reason: "enough" }))
      const why = yield* here.closed
      assert.strictEqual(why?.code, ResetCode.cancelled)
      assert.strictEqual(why?.reason, "enough")
      assert.strictEqual((yield* there.closed)?.reason, "enough")
    })
  )

  it.scoped("refuses with the agent's reason", () =>
    Effect.gen(function* () {
      const { client, agent } = yield* tunnels()
      const [opened] = yield* Effect.all(
        [
          Effect.flip(client.tunnel.open({ service: "postgres" })),
          Effect.map(agent.tunnel.accept, (incoming) => {
            assert.deepStrictEqual(incoming.target, { service: "postgres" })
            incoming.refuse(new StreamReset({ code: ResetCode.denied, reason: "not exposed" }))
          })
        ],
        { concurrency: 2 }
      )
      assert.strictEqual(opened.code, ResetCode.denied)
      assert.strictEqual(opened.reason, "not exposed")
      assert.strictEqual(client.tunnel.held().streams, 0)
      assert.strictEqual(agent.tunnel.held().streams, 0)
    })
  )

  it.scoped("stops a sender whose reader stalls, within credit, and goes on when it reads", () =>
    Effect.gen(function* () {
      const { client, agent, ours, theirs } = yield* stream
      const here = collect(ours)
      const chunk = Buffer.alloc(65_536, 7)
      theirs.pause()
      let sent = 0
      // The sender is asked to wait, and after what credit allows nothing moves any more.
      for (;;) {
        while (ours.write(chunk)) sent += chunk.length
        sent += chunk.length
        const before = here.drains
        for (let turn = 0; turn < 20 && here.drains === before; turn++) yield* Effect.yieldNow()
        if (here.drains === before) break
      }
      assert.isAtMost(agent.tunnel.held().undelivered, STREAM_CREDIT_MAX)
      assert.isAtMost(client.tunnel.held().unsent, STREAM_SEND_QUEUE + chunk.length)
      const there = collect(theirs)
      assert.strictEqual(there.bytes, 0)
      theirs.resume()
      yield* there.until(sent)
      assert.strictEqual(there.bytes, sent)
    })
  )

  it.scoped("does not let a stalled stream hold up another", () =>
    Effect.gen(function* () {
      const { client, agent, ours, theirs } = yield* stream
      theirs.pause()
      while (ours.write(Buffer.alloc(65_536))) continue
      const [second, theirSecond] = yield* Effect.all(
        [client.tunnel.open({ port: 5432 }), Effect.map(agent.tunnel.accept, (incoming) => incoming.accept())],
        { concurrency: 2 }
      )
      const there = collect(theirSecond)
      second.write(Buffer.alloc(1_000_000))
      yield* there.until(1_000_000)
    })
  )

  it.scoped("resets every stream, never ends it, when the connection is lost", () =>
    Effect.gen(function* () {
      const { client, agent, ours, theirs, carriers } = yield* stream
      const here = collect(ours)
      const there = collect(theirs)
      carriers[0].terminate()
      assert.strictEqual((yield* here.closed)?.code, ResetCode.lost)
      assert.strictEqual((yield* there.closed)?.code, ResetCode.lost)
      assert.strictEqual((yield* client.tunnel.closed).kind, "lost")
      assert.strictEqual((yield* agent.tunnel.closed).kind, "lost")
      assert.strictEqual((yield* Effect.flip(client.tunnel.open({ port: 22 }))).code, ResetCode.lost)
      assert.strictEqual((yield* Effect.flip(agent.tunnel.accept)).kind, "lost")
    })
  )

  it.scoped("delivers what the peer had finished when the connection is lost, and only then ends", () =>
    Effect.gen(function* () {
      const { ours, theirs, carriers, agent } = yield* stream
      const there = collect(theirs)
      const here = collect(ours)
      theirs.pause()
      ours.write(Buffer.alloc(100_000, 1))
      ours.end()
      theirs.end()
      yield* here.ended
      assert.isUndefined(yield* here.closed)
      // All of it has been sent, in several records; the end comes with the last one.
      while (agent.tunnel.held().undelivered < 100_000) yield* turn
      carriers[1].terminate()
      yield* agent.tunnel.closed
      assert.strictEqual(there.bytes, 0)
      theirs.resume()
      yield* there.ended
      assert.strictEqual(there.bytes, 100_000)
      assert.isUndefined(yield* there.closed)
    })
  )

  it.scoped("delivers what the peer had finished, then resets the direction that had not", () =>
    Effect.gen(function* () {
      const { ours, theirs, carriers } = yield* stream
      const there = collect(theirs)
      const here = collect(ours)
      theirs.pause()
      ours.write(Buffer.alloc(1_000, 1))
      ours.end()
      theirs.write(Buffer.of(1))
      yield* here.until(1)
      carriers[1].terminate()
      assert.strictEqual((yield* here.closed)?.code, ResetCode.lost)
      theirs.resume()
      yield* there.ended
      assert.strictEqual(there.bytes, 1_000)
      assert.strictEqual((yield* there.closed)?.code, ResetCode.lost)
    })
  )

  it.scoped("opens no service of an endless name, and goes on", () =>
    Effect.gen(function* () {
      const { client, agent } = yield* tunnels()
      const refused = yield* Effect.flip(client.tunnel.open({ service: "x".repeat(17_000) }))
      assert.strictEqual(refused.code, ResetCode.protocol)
      const accepting = yield* Effect.fork(Effect.map(agent.tunnel.accept, (incoming) => incoming.accept()))
      yield* client.tunnel.open({ port: 22 })
      yield* accepting
    })
  )

  it.scoped("is not given up for what one's own side asks while the other does not read", () =>
    Effect.gen(function* () {
      const { client, agent, carriers } = yield* tunnels()
      carriers[1].pause()
      let busy = 0
      for (let round = 0; busy === 0; round++) {
        assert.isBelow(round, 100_000, "opens are taken without bound")
        const opening = yield* Effect.fork(Effect.flip(client.tunnel.open({ port: 22 })))
        yield* Effect.yieldNow()
        const exit = yield* Fiber.poll(opening)
        if (Option.isSome(exit)) busy++
        else yield* Fiber.interrupt(opening)
      }
      carriers[1].resume()
      const serving = yield* Effect.fork(
        Effect.forever(Effect.map(agent.tunnel.accept, (incoming) => void incoming.accept()))
      )
      for (let opened = false; !opened; yield* Effect.yieldNow()) {
        opened = Exit.isSuccess(yield* Effect.exit(client.tunnel.open({ port: 5432 })))
      }
      yield* Fiber.interrupt(serving)
    })
  )

  it.effect("says why it ends when its scope does", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { agent } = yield* Scope.extend(tunnels(), scope)
      yield* Scope.close(scope, Exit.void)
      const closed = yield* agent.tunnel.closed
      assert.strictEqual(closed.kind, "closed")
    })
  )

  describe("against a hub that lies", () => {
    const handshake = (options: {
      readonly client?: Partial<Stream1.Session>
      readonly agent?: Partial<Stream1.Session>
      readonly tamper?: (message: Uint8Array, index: number) => ReadonlyArray<Uint8Array>
      readonly answer?: (message: Uint8Array, index: number) => ReadonlyArray<Uint8Array>
    }) =>
      Effect.gen(function* () {
        const scope = yield* Effect.scope
        const [left, right] = MemoryCarrier.pair()
        const keep = (message: Uint8Array) => [message]
        return yield* Effect.all(
          [
            Effect.exit(
              Stream1.initiate({
                inbox: Inbox.make(through(left, options.tamper ?? keep)),
                session: { ...session, ...options.client },
                identity: clientIdentity,
                scope,
                software: "tela/test"
              })
            ).pipe(Effect.tap((exit) => Effect.sync(() => Exit.isFailure(exit) && left.terminate()))),
            Effect.exit(
              Stream1.respond({
                inbox: Inbox.make(through(right, options.answer ?? keep)),
                session: { ...session, ...options.agent },
                identity: agentIdentity,
                scope,
                authorise: () => Effect.succeed(agentHello)
              })
            ).pipe(Effect.tap((exit) => Effect.sync(() => Exit.isFailure(exit) && right.terminate())))
          ],
          { concurrency: 2 }
        )
      })

    const other = generate()
    const changes: ReadonlyArray<readonly [string, Partial<Stream1.Session>]> = [
      ["another machine's name", { machine: "shed" }],
      ["another client session key", { clientSessionKey: other.publicHex }],
      ["another agent session key", { agentSessionKey: other.publicHex }],
      ["another agent identity", { agentIdentity: other.publicHex }],
      ["more tunnels", { tunnels: ["stream/2", "stream/1"] }],
      ["fewer ports", { ports: [22] }]
    ]
    for (const [what, change] of changes) {
      it.scoped(`refuses ${what}`, () =>
        Effect.gen(function* () {
          const [client, agent] = yield* handshake({ client: change })
          assert(Exit.isFailure(client) && Exit.isFailure(agent))
        })
      )
    }

    it.scoped("refuses any flipped bit in the answer", () =>
      Effect.gen(function* () {
        for (const at of [8, 20, 39, 40, 60]) {
          const [client, agent] = yield* handshake({
            answer: (message) => {
              message[at] = (message[at] ?? 0) ^ 1
              return [message]
            }
          })
          assert(Exit.isFailure(client) && Exit.isFailure(agent))
          assert.include(String(client.cause), "did not prove its identity key")
        }
      })
    )

    it.scoped("acts on nothing when a first message is replayed: no record of the client follows", () =>
      Effect.gen(function* () {
        // The hub records the first message of a real session and plays it to the same agent in the same session again.
        const seen: Array<Uint8Array> = []
        yield* handshake({ tamper: (message) => (seen.push(message), [message]) })
        const first = seen[0]
        assert(first !== undefined)
        const [hub, agent] = MemoryCarrier.pair()
        hub.send(first)
        hub.receive({
          binary: () => queueMicrotask(() => hub.terminate()),
          text: () => {},
          drain: () => {},
          closed: () => {}
        })
        const refused = yield* Effect.flip(
          Stream1.respond({
            inbox: Inbox.make(agent),
            session,
            identity: agentIdentity,
            scope: yield* Effect.scope,
            authorise: () => Effect.succeed(agentHello)
          })
        )
        assert.strictEqual(refused.kind, "lost")
      })
    )

    const records: ReadonlyArray<readonly [string, (message: Uint8Array, index: number) => ReadonlyArray<Uint8Array>]> =
      [
        [
          "flips a bit",
          (message, index) => {
            if (index === 4) message[30] = (message[30] ?? 0) ^ 1
            return [message]
          }
        ],
        ["repeats a record", (message, index) => (index === 4 ? [message, message] : [message])],
        ["drops a record", (message, index) => (index === 4 ? [] : [message])],
        ["plays the handshake again", (message, index) => (index === 4 ? [message.fill(0x81, 7, 8)] : [message])]
      ]
    for (const [what, tamper] of records) {
      it.scoped(`ends the tunnel and delivers nothing more when it ${what}`, () =>
        Effect.gen(function* () {
          const both = yield* tunnels(([left, right]) => [through(left, tamper), right])
          const [ours, theirs] = yield* Effect.all(
            [
              both.client.tunnel.open({ port: 22 }),
              Effect.map(both.agent.tunnel.accept, (incoming) => incoming.accept())
            ],
            { concurrency: 2 }
          )
          const there = collect(theirs)
          const here = collect(ours)
          for (let count = 0; count < 8; count++) {
            ours.write(Buffer.from([count]))
            yield* Effect.yieldNow()
          }
          assert.strictEqual((yield* both.agent.tunnel.closed).kind, "tampered")
          assert.strictEqual((yield* there.closed)?.code, ResetCode.lost)
          assert.strictEqual((yield* here.closed)?.code, ResetCode.lost)
          const delivered = [...Buffer.concat(there.chunks)]
          assert.deepStrictEqual(
            delivered,
            [0, 1, 2, 3, 4, 5, 6, 7].slice(0, delivered.length),
            "a prefix of what was sent"
          )
          assert.isBelow(delivered.length, 8)
        })
      )
    }
  })
})
