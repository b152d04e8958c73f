import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { ConnectError, type ConnectErrorKind } from "../../src/client/ConnectError.ts"
import type { ConnectEvent } from "../../src/client/ConnectEvent.ts"
import * as Connector from "../../src/client/Connector.ts"
import type { Session } from "../../src/client/Session.ts"
import { RECONNECT_BASE, RECONNECT_CAP, RECONNECT_STEADY, RESUME_RETRY_CAP } from "../../src/protocol/Limits.ts"
import { TunnelClosed } from "../../src/tunnel/Tunnel.ts"
import { fakeTunnel } from "../support/fakeTunnel.ts"

/** A script of what each try does: fail, or stand until it is ended. */
const scripted = Effect.gen(function* () {
  const script = yield* Queue.unbounded<ConnectErrorKind | Deferred.Deferred<TunnelClosed>>()
  const events = yield* Queue.unbounded<ConnectEvent>()
  let scopes = 0
  const open = Effect.gen(function* () {
    const next = yield* Queue.take(script)
    if (typeof next === "string") return yield* new ConnectError({ kind: next, reason: `${next}!` })
    yield* Effect.acquireRelease(
      Effect.sync(() => scopes++),
      () => Effect.sync(() => scopes--)
    )
    let over = false
    yield* Effect.forkScoped(Effect.map(Deferred.await(next), () => (over = true)))
    const session: Session = {
      machine: "barn",
      services: [],
      principal: undefined,
      fingerprint: "SHA256:x",
      firstUse: false,
      tunnel: fakeTunnel({ closed: Deferred.await(next), isAttached: () => !over })
    }
    return { session, kept: undefined, resumed: false, notResumed: undefined, draining: Effect.never }
  })
  const make = (wait = false) =>
    Connector.make({ machine: "barn", open: () => open, wait, onEvent: (event) => void events.unsafeOffer(event) })
  const stand = Effect.tap(Deferred.make<TunnelClosed>(), (end) => Queue.offer(script, end))
  const end = (how: Deferred.Deferred<TunnelClosed>, kind: TunnelClosed["kind"] = "lost") =>
    Deferred.succeed(how, new TunnelClosed({ kind, reason: `${kind}.` }))
  const retry = Effect.gen(function* () {
    const event = yield* Queue.take(events)
    if (event._tag !== "Reconnecting") return yield* Effect.dieMessage(`expected Reconnecting, got ${event._tag}`)
    reconnecting.push(event.lost)
    return event.retryIn
  })
  /** Of each `Reconnecting` so far, whether a session was lost. */
  const reconnecting: Array<boolean> = []
  return { script, events, make, stand, end, retry, reconnecting, scopes: () => scopes }
})

describe("Connector", () => {
  it.scoped("gives the session, and after a loss the next one, with growing pauses", () =>
    Effect.gen(function* () {
      const { end, events, make, reconnecting, retry, scopes, script, stand } = yield* scripted
      const first = yield* stand
      const connector = yield* make()
      const session = yield* connector.session
      assert.strictEqual(connector.current(), session)
      assert.deepInclude(yield* Queue.take(events), { _tag: "Connected", again: false })

      yield* end(first)
      for (let i = 0; i < 12; i++) {
        const delay = yield* retry
        const middle = Math.min(RECONNECT_BASE * 2 ** i, RECONNECT_CAP)
        assert.isAtLeast(delay, middle * 0.75)
        assert.isAtMost(delay, middle * 1.25)
        assert.isUndefined(connector.current())
        assert.strictEqual(scopes(), 0)
        yield* Queue.offer(script, i % 2 === 0 ? "unreachable" : "not-found")
        yield* TestClock.adjust(delay)
      }
      assert.deepStrictEqual(reconnecting, [true, ...Array.from({ length: 11 }, () => false)])
      const waiting = yield* Effect.fork(connector.session)
      const second = yield* stand
      yield* TestClock.adjust(RECONNECT_CAP * 2)
      yield* Effect.repeat(Queue.take(events), { until: (event) => event._tag === "Connected" })
      assert.notStrictEqual(yield* Fiber.join(waiting), session)
      assert.strictEqual(connector.current(), yield* connector.session)

      yield* TestClock.adjust(RECONNECT_STEADY)
      yield* end(second)
      assert.isAtMost(yield* retry, RECONNECT_BASE * 1.25)
    })
  )

  it.scoped.each([
    "unreachable",
    "not-found",
    "denied",
    "untrusted",
    "incompatible",
    "local",
    "refused",
    "lost"
  ] as const)("ends at the first try with %s", (kind) =>
    Effect.gen(function* () {
      const { make, script } = yield* scripted
      yield* Queue.offer(script, kind)
      const connector = yield* make()
      assert.strictEqual((yield* Effect.flip(connector.session)).kind, kind)
      assert.strictEqual((yield* Effect.flip(connector.ended)).kind, kind)
    })
  )

  it.scoped("waits for a machine when told to, but not for a hub that was never there", () =>
    Effect.gen(function* () {
      const { make, retry, script, stand } = yield* scripted
      yield* Queue.offer(script, "not-found")
      const connector = yield* make(true)
      yield* Queue.offer(script, "unreachable")
      yield* TestClock.adjust(yield* retry)
      yield* stand
      yield* TestClock.adjust(yield* retry)
      yield* connector.session
    })
  )

  it.scoped("does not wait for an unreachable hub at the first try", () =>
    Effect.gen(function* () {
      const { make, script } = yield* scripted
      yield* Queue.offer(script, "unreachable")
      assert.strictEqual((yield* Effect.flip((yield* make(true)).ended)).kind, "unreachable")
    })
  )

  /** A client whose hub has been away for a while. */
  const away = Effect.gen(function* () {
    const { end, events, make, retry, script, stand } = yield* scripted
    const first = yield* stand
    const connector = yield* make()
    yield* Queue.take(events)
    yield* end(first)
    let pause = yield* retry
    while (pause < RECONNECT_CAP / 2) {
      yield* Queue.offer(script, "unreachable")
      yield* TestClock.adjust(pause)
      pause = yield* retry
    }
    return { connector, script, stand, retry }
  })

  it.scoped("tries soon when somebody begins to wait during a long pause", () =>
    Effect.gen(function* () {
      const { connector, stand } = yield* away
      yield* stand
      yield* TestClock.adjust(RESUME_RETRY_CAP * 1.25)
      const waiting = yield* Effect.fork(connector.session)
      yield* Effect.yieldNow()
      yield* TestClock.adjust(0)
      yield* Fiber.join(waiting)
    })
  )

  it.scoped("tries no more often for many who wait than for one, and slowly again when they have gone", () =>
    Effect.gen(function* () {
      const { connector, retry, script } = yield* away
      const waiting = yield* Effect.forEach(Array.from({ length: 100 }), () => Effect.fork(connector.session))
      yield* Effect.yieldNow()
      yield* Queue.offer(script, "unreachable")
      yield* TestClock.adjust(RESUME_RETRY_CAP * 0.75 - 1)
      assert.strictEqual(yield* Queue.size(script), 1)
      yield* TestClock.adjust(RESUME_RETRY_CAP * 0.5 + 1)
      assert.strictEqual(yield* Queue.size(script), 0)
      assert.isAtMost(yield* retry, RESUME_RETRY_CAP * 1.25)
      yield* Fiber.interruptAll(waiting)
      yield* Queue.offer(script, "unreachable")
      yield* TestClock.adjust(RESUME_RETRY_CAP * 1.25)
      assert.isAtLeast(yield* retry, RECONNECT_CAP * 0.75)
    })
  )

  it.scoped.each(["denied", "untrusted", "incompatible", "local"] as const)("ends later, too, with %s", (kind) =>
    Effect.gen(function* () {
      const { end, events, make, retry, script, stand } = yield* scripted
      const first = yield* stand
      const connector = yield* make()
      yield* Queue.take(events)
      yield* end(first)
      const waiting = yield* Effect.fork(Effect.flip(connector.session))
      yield* Queue.offer(script, kind)
      yield* TestClock.adjust(yield* retry)
      assert.strictEqual((yield* Effect.flip(connector.ended)).kind, kind)
      yield* Fiber.interrupt(waiting)
    })
  )

  it.scoped("ends when a session was meddled with", () =>
    Effect.gen(function* () {
      const { end, make, stand } = yield* scripted
      yield* end(yield* stand, "tampered")
      const error = yield* Effect.flip((yield* make()).ended)
      assert.strictEqual(error.kind, "untrusted")
      assert.include(error.message, "meddled with")
    })
  )

  it.scoped("ends the session with its scope, and lets nobody wait", () =>
    Effect.gen(function* () {
      const { make, scopes, stand } = yield* scripted
      yield* stand
      const scope = yield* Scope.make()
      const connector = yield* Scope.extend(make(), scope)
      yield* connector.session
      assert.strictEqual(scopes(), 1)
      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      assert.strictEqual(scopes(), 0)
      assert.strictEqual((yield* Effect.flip(connector.ended)).kind, "local")
    })
  )
})
