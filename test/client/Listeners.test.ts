import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/TestClock"
import type { ConnectError } from "../../src/client/ConnectError.ts"
import type { ConnectEvent } from "../../src/client/ConnectEvent.ts"
import * as Listeners from "../../src/client/Listeners.ts"
import type { Mapping } from "../../src/client/LocalPorts.ts"
import type { Session } from "../../src/client/Session.ts"
import { WAITING_CONNECTIONS, WAITING_TIMEOUT } from "../../src/protocol/Limits.ts"
import { ResetCode, StreamReset } from "../../src/protocol/StreamReset.ts"
import type { ByteStream } from "../../src/transport/ByteStream.ts"
import { ListenError } from "../../src/transport/ListenError.ts"
import type { Tunnel } from "../../src/tunnel/Tunnel.ts"
import { fakeTunnel } from "../support/fakeTunnel.ts"

type OnConnection = (stream: ByteStream, peer: string) => void

/** A machine's ports, without a machine. */
const ports = (taken: Readonly<Record<string, string>> = {}) => {
  const bound = new Map<string, OnConnection>()
  let free = 50_000
  const listen: Listeners.Listen = ({ host, onConnection, port: wanted }) =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        const port = wanted === 0 ? free++ : wanted
        const where = `${host}:${port}`
        const code = taken[where] ?? taken[`${host}:*`] ?? (bound.has(where) ? "EADDRINUSE" : undefined)
        if (code !== undefined) return new ListenError({ code, host, port })
        bound.set(where, onConnection)
        return Effect.succeed({ port })
      }),
      ({ port }) => Effect.sync(() => bound.delete(`${host}:${port}`))
    )
  return { bound, listen }
}

const mapping = (port: number, local?: number): Mapping => ({ local, service: { port, name: "" } })
const idle = { current: () => undefined, session: Effect.never }

/** Where each service ends up. */
const bind = (taken: Readonly<Record<string, string>>, ...mappings: ReadonlyArray<Mapping>) =>
  Effect.map(Listeners.bind({ machine: "barn", mappings, connector: idle, listen: ports(taken).listen }), (services) =>
    services.map((service) => service.local)
  )

/** A local connection that only remembers how it was reset. */
const localStream = Effect.map(Deferred.make<StreamReset>(), (reset) => {
  const stream: ByteStream = {
    write: () => true,
    end: () => {},
    reset: (why) => Deferred.unsafeDone(reset, Effect.succeed(why)),
    pause: () => {},
    resume: () => {},
    attach: () => {}
  }
  return { stream, reset: Deferred.await(reset), isReset: Deferred.isDone(reset) }
})

const session = (open: Tunnel["open"]): Session => ({
  machine: "barn",
  services: [],
  principal: undefined,
  fingerprint: "",
  firstUse: false,
  tunnel: fakeTunnel({ open })
})

describe("Listeners", () => {
  it.scoped("takes the service's own port on both loopback addresses", () =>
    Effect.gen(function* () {
      const { bound, listen } = ports()
      const services = yield* Listeners.bind({ machine: "barn", mappings: [mapping(22)], connector: idle, listen })
      assert.deepStrictEqual(services, [{ local: 22, remote: 22, label: "SSH", machine: "barn" }])
      assert.deepStrictEqual([...bound.keys()], ["127.0.0.1:22", "::1:22"])
    })
  )

  it.scoped.each([
    [{ "127.0.0.1:22": "EADDRINUSE" }, 22, 10022],
    [{ "::1:22": "EADDRINUSE" }, 22, 10022],
    [{ "127.0.0.1:22": "EACCES" }, 22, 10022],
    [{ "127.0.0.1:22": "EACCES", "127.0.0.1:10022": "EADDRINUSE", "::1:10023": "EADDRINUSE" }, 22, 10024],
    [{ "127.0.0.1:60000": "EADDRINUSE" }, 60_000, 50_000],
    [{ "::1:*": "EADDRNOTAVAIL" }, 22, 22],
    [{ "::1:*": "EAFNOSUPPORT" }, 22, 22]
  ] as const)("finds a port: with %j for %d it is %d", ([taken, wanted, expected]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* bind(taken, mapping(wanted)), [expected])
    })
  )

  it.scoped("does not leave one address bound when the other is taken", () =>
    Effect.gen(function* () {
      const { bound, listen } = ports({ "::1:22": "EADDRINUSE" })
      yield* Listeners.bind({ machine: "barn", mappings: [mapping(22)], connector: idle, listen })
      assert.deepStrictEqual([...bound.keys()], ["127.0.0.1:10022", "::1:10022"])
    })
  )

  it.scoped("fails for a port that was asked for, says what to do, and binds nothing", () =>
    Effect.gen(function* () {
      const { bound, listen } = ports({ "127.0.0.1:5432": "EADDRINUSE" })
      const mappings = [mapping(22, 2222), mapping(5432, 5432)]
      const error = yield* Effect.flip(
        Effect.scoped(Listeners.bind({ machine: "barn", mappings, connector: idle, listen }))
      )
      assert.strictEqual(error.message, "local port 5432 is taken; choose another one, for example -ports 15432:5432")
      assert.strictEqual(bound.size, 0)
    })
  )

  it.scoped("lets go of every port with its scope", () =>
    Effect.gen(function* () {
      const { bound, listen } = ports()
      const mappings = [mapping(22), mapping(80, 8080)]
      yield* Effect.scoped(Listeners.bind({ machine: "barn", mappings, connector: idle, listen }))
      assert.strictEqual(bound.size, 0)
    })
  )

  it.scoped("holds real sockets: two listeners for one port cannot be", () =>
    Effect.gen(function* () {
      const options = { machine: "barn", mappings: [mapping(65_535)], connector: idle }
      const [first] = yield* Listeners.bind(options)
      const [second] = yield* Listeners.bind(options)
      assert.notStrictEqual(first?.local, second?.local)
      const socket = Net.connect(second?.local ?? 0, "127.0.0.1")
      yield* Effect.async<void>((resume) => void socket.once("connect", () => resume(Effect.void)))
      socket.destroy()
    })
  )

  it.scoped("resets a connection that is refused, and says which and why", () =>
    Effect.gen(function* () {
      const { bound, listen } = ports()
      const events = yield* Queue.unbounded<ConnectEvent>()
      const refusal = new StreamReset({ code: ResetCode.denied, reason: "this session may not\nuse it" })
      const standing = session((target) => {
        assert.deepStrictEqual(target, { port: 22 })
        return Effect.fail(refusal)
      })
      yield* Listeners.bind({
        machine: "barn",
        mappings: [mapping(22, 2222)],
        connector: { current: () => standing, session: Effect.succeed(standing) },
        onEvent: (event) => void events.unsafeOffer(event),
        listen
      })
      const local = yield* localStream
      bound.get("::1:2222")?.(local.stream, "")
      assert.strictEqual(yield* local.reset, refusal)
      assert.deepStrictEqual(yield* Queue.take(events), {
        _tag: "StreamRefused",
        machine: "barn",
        service: "SSH",
        local: 2222,
        reason: "this session may not?use it"
      })
    })
  )

  it.scoped("keeps connections waiting for a session, so many and so long", () =>
    Effect.gen(function* () {
      const { bound, listen } = ports()
      const next = yield* Deferred.make<Session, ConnectError>()
      yield* Listeners.bind({
        machine: "barn",
        mappings: [mapping(22)],
        connector: { current: () => undefined, session: Deferred.await(next) },
        listen
      })
      const connect = bound.get("127.0.0.1:22") ?? assert.fail("not bound")
      const locals = yield* Effect.all(Array.from({ length: WAITING_CONNECTIONS }, () => localStream))
      for (const local of locals) connect(local.stream, "")
      const late = yield* localStream
      connect(late.stream, "")
      assert.strictEqual((yield* late.reset).code, ResetCode.busy)
      for (const local of locals) assert.isFalse(yield* local.isReset)
      yield* TestClock.adjust(WAITING_TIMEOUT)
      for (const local of locals) assert.strictEqual((yield* local.reset).code, ResetCode.lost)

      const opened = yield* Deferred.make<void>()
      const lucky = yield* localStream
      connect(lucky.stream, "")
      yield* Deferred.succeed(
        next,
        session(() => Effect.zipRight(Deferred.succeed(opened, undefined), Effect.never))
      )
      yield* Deferred.await(opened)
    })
  )

  it.scoped("opens in the next session what was not accepted when the tunnel was lost", () =>
    Effect.gen(function* () {
      const { bound, listen } = ports()
      const opened = yield* Deferred.make<string>()
      const lost = new StreamReset({ code: ResetCode.lost, reason: "the agent was killed" })
      const sessions = [
        {
          ...session(() => Effect.fail(lost)),
          tunnel: fakeTunnel({ open: () => Effect.fail(lost), isAttached: () => false })
        },
        session(() => Effect.zipRight(Deferred.succeed(opened, "second"), Effect.never))
      ]
      yield* Listeners.bind({
        machine: "barn",
        mappings: [mapping(22)],
        connector: {
          current: () => undefined,
          session: Effect.sync(() => sessions.shift() ?? assert.fail("no third"))
        },
        listen
      })
      const local = yield* localStream
      bound.get("127.0.0.1:22")?.(local.stream, "")
      assert.strictEqual(yield* Deferred.await(opened), "second")
      assert.isFalse(yield* local.isReset)
    })
  )

  it.scoped("resets connections in progress when it closes", () =>
    Effect.gen(function* () {
      const { bound, listen } = ports()
      const opening = yield* Deferred.make<void>()
      const standing = session(() => Effect.zipRight(Deferred.succeed(opening, undefined), Effect.never))
      const local = yield* localStream
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Listeners.bind({
            machine: "barn",
            mappings: [mapping(22)],
            connector: { current: () => standing, session: Effect.succeed(standing) },
            listen
          })
          bound.get("127.0.0.1:22")?.(local.stream, "")
          yield* Deferred.await(opening)
        })
      )
      assert.strictEqual((yield* local.reset).code, ResetCode.cancelled)
    })
  )

  it("tries the port, then +10000 and on, then any", () => {
    const tried = [...Listeners.candidates(22)]
    assert.deepStrictEqual(tried.slice(0, 4), [22, 10_022, 10_023, 10_024])
    assert.isTrue([...Listeners.candidates(65_000)].slice(1).every((port) => port === 0))
    assert.isTrue([...Listeners.candidates(55_534)].every((port) => port <= 65_535))
    assert.isBelow(tried.length, 1_000)
  })
})
