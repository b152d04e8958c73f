/** Grants that change while a session lasts, as the agent holds it to them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/TestClock"
import * as Session from "../../src/client/Session.ts"
import { generate } from "../../src/crypto/KeyPair.ts"
import * as Control from "../../src/protocol/Control.ts"
import { REFUSED_RETRY } from "../../src/protocol/Limits.ts"
import { ResetCode, StreamReset } from "../../src/protocol/StreamReset.ts"
import type { ByteStream, ByteStreamHandlers } from "../../src/transport/ByteStream.ts"
import type { Carrier } from "../../src/transport/Carrier.ts"
import { collect } from "../support/collect.ts"
import { agent, client, machine } from "../support/ends.ts"
import { logLines } from "../support/logLines.ts"
import * as MemoryHub from "../support/MemoryHub.ts"
import { metric } from "../support/metrics.ts"
import { turn } from "../support/turn.ts"

/** A service that sends everything back, and how each of its connections was reset. */
const echo = () => {
  const resets = new Map<number, StreamReset>()
  const reach = ({ port }: { readonly port: number }): Effect.Effect<ByteStream> =>
    Effect.sync(() => {
      let handlers: ByteStreamHandlers | undefined
      return {
        write: (chunk) => {
          handlers?.data(chunk)
          return true
        },
        end: () => handlers?.end(),
        reset: (reason) => {
          if (resets.has(port)) return
          resets.set(port, reason)
          handlers?.closed(reason)
        },
        pause: () => {},
        resume: () => {},
        attach: (attached) => (handlers = attached)
      }
    })
  return { reach, resets }
}

/** A session with a stream to each of the two services, and the hub's word to the agent about it. */
const standing = (options: Parameters<typeof machine>[0] = {}, identity = generate(), streams?: number) =>
  Effect.gen(function* () {
    const hub = yield* MemoryHub.make
    if (streams !== undefined) {
      hub.sessionRequest = (asked) => ({ ...asked, ...(asked.client && { client: { ...asked.client, streams } }) })
    }
    const service = echo()
    const barn = yield* agent(hub, { machines: [machine(options)], reach: service.reach })
    yield* barn.registered("barn")
    const carriers: Array<Carrier> = []
    const session = yield* Session.open(
      yield* client(hub, {
        identity,
        dial: (url) => Effect.tap(hub.dial(url), (carrier) => Effect.sync(() => carriers.push(carrier)))
      })
    )
    const open = (port: number) =>
      Effect.map(session.tunnel.open({ port }), (stream) => ({ stream, ...collect(stream) }))
    const say = (message: Control.ControlMessage) =>
      Effect.zipRight(
        Effect.sync(() => hub.control("barn")?.sendText(Control.encode(message))),
        turn
      )
    return {
      hub,
      barn,
      session,
      carriers,
      resets: service.resets,
      open,
      update: (...services: ReadonlyArray<string>) =>
        say({ type: "session-update", sessionId: "session-1", services, revision: 2 }),
      everything: say({ type: "session-update", sessionId: "session-1", revision: 3 }),
      revoke: (sessionId = "session-1") =>
        say({ type: "session-revoked", sessionId, principal: "alice", reason: "alice has left" })
    }
  })

const denied = (port: number, name: string) => [ResetCode.denied, `this session may not use ${name} (port ${port})`]

describe("a session whose grant changes", () => {
  it.scoped("loses the streams of services that it may not use any more, and only these", () =>
    Effect.gen(function* () {
      const { open, resets, session, update } = yield* standing()
      const ssh = yield* open(22)
      const db = yield* open(5432)
      yield* update("SSH")
      const reset = yield* db.closed
      assert.deepStrictEqual(
        [reset?.code, reset?.reason],
        [ResetCode.denied, "this session may no longer use db (port 5432)"]
      )
      assert.strictEqual(resets.get(5432)?.code, ResetCode.denied)
      assert.isFalse(resets.has(22))
      ssh.stream.write(Buffer.from("on"))
      yield* ssh.until(2)
      const refused = yield* Effect.flip(session.tunnel.open({ port: 5432 }))
      assert.deepStrictEqual([refused.code, refused.reason], denied(5432, "db"))
    })
  )

  it.scoped("has no more streams at a time than the hub said at first, whatever services it has since", () =>
    Effect.gen(function* () {
      const { everything, open, session, update } = yield* standing({}, generate(), 1)
      const busy = [ResetCode.busy, "no more than 1 connections in a session: the hub's limit"]
      const wantsBusy = Effect.gen(function* () {
        const { code, reason } = yield* Effect.flip(session.tunnel.open({ port: 22 }))
        assert.deepStrictEqual([code, reason], busy)
      })
      const before = yield* metric("tela_agent_refused_total", "streams")
      const { stream } = yield* open(22)
      yield* wantsBusy
      assert.strictEqual((yield* metric("tela_agent_refused_total", "streams")) - before, 1)
      yield* update("SSH", "db")
      yield* wantsBusy
      yield* everything
      yield* wantsBusy
      stream.reset(new StreamReset({ code: ResetCode.cancelled, reason: "" }))
      // The agent hears of it a few turns later.
      yield* Effect.eventually(Effect.zipRight(turn, open(22)))
    })
  )

  it.scoped("gains services, too, but never beyond the agent's own list", () =>
    Effect.gen(function* () {
      const identity = generate()
      const clients = [{ key: identity.publicHex, name: "kim", services: ["ssh"] }]
      const { everything, open, session, update } = yield* standing({ clients }, identity)
      yield* update("db")
      assert.deepStrictEqual((yield* Effect.flip(session.tunnel.open({ port: 22 }))).code, ResetCode.denied)
      yield* everything
      yield* open(22)
      assert.deepStrictEqual((yield* Effect.flip(session.tunnel.open({ port: 5432 }))).code, ResetCode.denied)
    })
  )

  it.scoped("does not get a stream that was on its way to a service it lost", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const service = echo()
      const reaching = yield* Effect.makeLatch()
      const there = yield* Effect.makeLatch()
      const barn = yield* agent(hub, {
        reach: (options) => Effect.zipRight(there.open, reaching.await).pipe(Effect.zipRight(service.reach(options)))
      })
      yield* barn.registered("barn")
      const { tunnel } = yield* Session.open(yield* client(hub))
      const opening = yield* Effect.fork(Effect.flip(tunnel.open({ port: 5432 })))
      yield* there.await
      const update = { type: "session-update", sessionId: "session-1", services: ["ssh"], revision: 2 } as const
      hub.control("barn")?.sendText(Control.encode(update))
      yield* turn
      yield* reaching.open
      assert.match((yield* opening).reason, /may no longer use db/)
      assert.strictEqual(service.resets.get(5432)?.code, ResetCode.denied)
    })
  )

  it.scoped("takes nobody's word for it on its own socket, where a client can forge it", () =>
    Effect.gen(function* () {
      const { carriers, open } = yield* standing()
      const stream = yield* open(5432)
      const about = { sessionId: "session-1", revision: 9 } as const
      for (const forged of [
        { type: "session-update", ...about, services: [] },
        { type: "session-revoked", ...about, principal: "alice", reason: "forged" }
      ] as const) {
        carriers[0]?.sendText(Control.encode(forged))
      }
      yield* turn
      stream.stream.write(Buffer.from("still"))
      yield* stream.until(5)
      yield* open(22)
    })
  )
})

describe("a session that is revoked", () => {
  it.scoped("ends with all its streams, what peers had finished included", () =>
    Effect.gen(function* () {
      const { barn, open, resets, revoke, session } = yield* standing()
      const ssh = yield* open(22)
      ssh.stream.end()
      yield* ssh.ended
      yield* open(5432)
      yield* revoke("another-session")
      assert.deepStrictEqual([...resets.keys()], [])
      yield* revoke()
      yield* session.tunnel.closed
      assert.strictEqual(resets.get(5432)?.reason, "access revoked: alice has left")
      while (barn.held().streams > 0) yield* turn
    })
  )

  it.scoped("never comes up, when it had not yet", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const log = yield* logLines
      const barn = yield* agent(hub).pipe(Effect.provide(log.layer))
      yield* barn.registered("barn")
      // The hub never relays the client's handshake, so the agent waits for it.
      hub.toAgent = () => []
      yield* Effect.forkScoped(Effect.exit(Session.open(yield* client(hub))))
      yield* Queue.takeN(hub.dials, 3)
      yield* turn
      const revoked = { type: "session-revoked", sessionId: "session-1", principal: "alice" } as const
      hub.control("barn")?.sendText(Control.encode(revoked))
      assert.match(yield* log.until(/session ended/), /access revoked: policy/)
    })
  )
})

describe("a registration that is revoked", () => {
  it.scoped("is asked for again slowly, and the log says why", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const log = yield* logLines
      const barn = yield* agent(hub).pipe(Effect.provide(log.layer))
      yield* barn.registered("barn")
      yield* Queue.takeAll(hub.dials)
      const message = "registration revoked: agent has no register grant on barn"
      hub.refuseRegister = () => message
      hub.control("barn")?.sendText(Control.encode({ type: "error", message }))
      hub.control("barn")?.close(1008, message)
      assert.match(yield* log.until(/refuses the registration/), /no register grant on barn; check the token.*next try/)
      yield* TestClock.adjust(REFUSED_RETRY * 0.75 - 1)
      assert.strictEqual(yield* Queue.size(hub.dials), 0)
      hub.refuseRegister = () => undefined
      yield* TestClock.adjust(REFUSED_RETRY * 0.5 + 1)
      yield* barn.registered("barn")
    })
  )
})
