/** What a client does when the hub says that its session may not be any more. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Connector from "../../src/client/Connector.ts"
import * as Session from "../../src/client/Session.ts"
import type { ByteStream, ByteStreamHandlers } from "../../src/transport/ByteStream.ts"
import { heldNothing } from "../../src/tunnel/Tunnel.ts"
import { collect } from "../support/collect.ts"
import { agent, client } from "../support/ends.ts"
import * as MemoryHub from "../support/MemoryHub.ts"
import { turn } from "../support/turn.ts"

const RULE = "the token of alice was revoked"
const TEXT = `access revoked: invalid token: ${RULE}`
const error = (message: string) => JSON.stringify({ type: "error", message })

/** A connector whose session stands, and the services' ends of its streams. */
const standing = Effect.gen(function* () {
  const hub = yield* MemoryHub.make
  const reached = yield* Queue.unbounded<ByteStreamHandlers>()
  const barn = yield* agent(hub, {
    reach: () =>
      Effect.succeed<ByteStream>({
        write: () => true,
        end: () => {},
        reset: () => {},
        pause: () => {},
        resume: () => {},
        attach: (handlers) => void reached.unsafeOffer(handlers)
      })
  })
  yield* barn.registered("barn")
  const options = yield* client(hub)
  const connector = yield* Connector.make({ machine: "barn", open: (begin) => Session.attempt(options, begin) })
  const session = yield* connector.session
  yield* Queue.takeAll(hub.dials)
  return { hub, connector, session, reached }
})

describe("a client whose access is revoked", () => {
  const ways: ReadonlyArray<readonly [string, (hub: MemoryHub.MemoryHub) => void, string]> = [
    ["an error message", (hub) => hub.tellClients(error(TEXT)), RULE],
    ["a close frame", (hub) => hub.tellClients(undefined, { code: 1008, reason: TEXT }), RULE],
    ["both", (hub) => hub.tellClients(error(TEXT), { code: 1008, reason: TEXT }), RULE],
    ["a deployed hub", (hub) => hub.tellClients(error("Invalid token")), "the hub no longer takes the token"]
  ]
  it.scoped.each(ways)("ends for good on %s", ([, say, rule]) =>
    Effect.gen(function* () {
      const { connector, hub, session } = yield* standing
      const stream = collect(yield* session.tunnel.open({ port: 22 }))
      say(hub)
      const ended = yield* Effect.flip(connector.ended)
      assert.deepStrictEqual([ended.kind, ended.message], ["revoked", `access revoked: ${rule}`])
      assert.strictEqual((yield* stream.closed)?.reason, `access revoked: ${rule}`)
      assert.strictEqual((yield* Effect.flip(connector.session)).kind, "revoked")
      assert.strictEqual(yield* Queue.size(hub.dials), 0)
    })
  )

  it.scoped("delivers nothing more to a local reader that is slow, though the service had finished", () =>
    Effect.gen(function* () {
      const { hub, reached, session } = yield* standing
      const stream = yield* session.tunnel.open({ port: 22 })
      const service = yield* Queue.take(reached)
      const local = collect(stream)
      stream.pause()
      service.data(Buffer.alloc(100_000))
      service.end()
      while (session.tunnel.held().undelivered < 100_000) yield* turn
      hub.tellClients(error(TEXT))
      yield* local.closed
      stream.resume()
      assert.strictEqual(local.bytes, 0)
      assert.deepStrictEqual(session.tunnel.held(), heldNothing)
    })
  )

  it.scoped("is told so even before its session stood", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub)
      yield* barn.registered("barn")
      const options = yield* client(hub)
      hub.refuseConnect = () => TEXT
      assert.strictEqual((yield* Effect.flip(Session.open(options))).kind, "revoked")
      hub.refuseConnect = () => undefined
      // In the middle of the handshake.
      hub.toAgent = () => {
        hub.tellClients(error(TEXT), { code: 1008, reason: TEXT })
        return []
      }
      const failed = yield* Effect.flip(Session.open(options))
      assert.deepStrictEqual([failed.kind, failed.message], ["revoked", `access revoked: ${RULE}`])
    })
  )

  it.scoped("stays when the hub, or an agent through it, says something else", () =>
    Effect.gen(function* () {
      const { connector, hub, session } = yield* standing
      const over = yield* Effect.fork(session.tunnel.closed)
      for (const text of [
        error("the hub is busy"),
        error("nothing of access revoked is meant here"),
        JSON.stringify({ type: "notice", message: TEXT }),
        "access revoked: no JSON",
        "{"
      ]) {
        hub.tellClients(text)
      }
      yield* turn
      assert.isNull(yield* Fiber.poll(over).pipe(Effect.map((exit) => (exit._tag === "None" ? null : exit))))
      assert.strictEqual(connector.current(), session)
    })
  )
})
