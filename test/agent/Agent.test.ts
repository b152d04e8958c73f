import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Session from "../../src/client/Session.ts"
import { generate } from "../../src/crypto/KeyPair.ts"
import * as Control from "../../src/protocol/Control.ts"
import {
  KEPT_RESERVE,
  RECONNECT_BASE,
  RECONNECT_CAP,
  REFUSED_RETRY,
  REGISTER_TIMEOUT,
  RESUME_RETRY_CAP,
  RETRY_IN_MOST
} from "../../src/protocol/Limits.ts"
import * as RelayFrame from "../../src/protocol/RelayFrame.ts"
import { ResetCode, StreamReset } from "../../src/protocol/StreamReset.ts"
import type { Carrier } from "../../src/transport/Carrier.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import { KeepBudget } from "../../src/tunnel/KeepBudget.ts"
import { heldNothing, type TunnelClosed } from "../../src/tunnel/Tunnel.ts"
import { agent, client, hubUrl, machine, service } from "../support/ends.ts"
import { logLines } from "../support/logLines.ts"
import * as MemoryHub from "../support/MemoryHub.ts"
import { turn } from "../support/turn.ts"

const settle = Effect.repeatN(turn, 100)

/** A client by hand: the raw carrier and its inbox, after `connect`. */
const rawClient = (hub: MemoryHub.MemoryHub, connect: Partial<Control.Connect> = {}) =>
  Effect.gen(function* () {
    const carrier: Carrier = yield* hub.dial(hubUrl)
    const inbox = Inbox.make(carrier)
    const wgPubKey = generate().publicHex
    carrier.sendText(Control.encode({ type: "connect", machineId: "barn", wgPubKey, ...connect }))
    const next = Effect.flatMap(inbox.take, (message) =>
      message._tag === "Text" ? Control.decode(message.text) : Effect.dieMessage("binary")
    )
    return { carrier, inbox, next }
  })

const frame = (...payload: ReadonlyArray<number>) => {
  const bytes = new Uint8Array(RelayFrame.HEADER_BYTES + payload.length)
  RelayFrame.writeHeader(bytes, 7)
  bytes.set(payload, RelayFrame.HEADER_BYTES)
  return bytes
}

describe("Agent", () => {
  it.scoped("registers each machine on a socket of its own, as the protocol says", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const identity = generate()
      const shed = machine({
        name: "shed",
        displayName: "The shed",
        tags: ["lab"],
        location: "garden",
        owner: "kim",
        token: undefined,
        services: [{ port: 80, proto: "tcp", name: "web", description: "pages" }]
      })
      yield* agent(hub, { identity, machines: [machine(), shed] })
      const messages = [...(yield* Queue.takeN(hub.registers, 2))].sort((a, b) =>
        String(a.machineName).localeCompare(String(b.machineName))
      )
      const common = {
        type: "register",
        protocolVersion: 1,
        agentId: messages[0]?.agentId,
        hostname: "barn.local",
        os: "linux",
        agentVersion: messages[0]?.agentVersion,
        capabilities: { tunnels: ["stream/1"], serviceGrants: true, resumes: true },
        identity: identity.publicHex
      }
      assert.deepStrictEqual(messages, [
        {
          ...common,
          type: "register",
          machineName: "barn",
          machineRegistrationId: messages[0]?.machineRegistrationId,
          token: "agent-token",
          ports: [22, 5432],
          services: [
            { port: 22, proto: "tcp" },
            { port: 5432, proto: "tcp", name: "db" }
          ]
        },
        {
          ...common,
          type: "register",
          machineName: "shed",
          machineRegistrationId: messages[1]?.machineRegistrationId,
          displayName: "The shed",
          tags: ["lab"],
          location: "garden",
          owner: "kim",
          ports: [80],
          services: [{ port: 80, proto: "tcp", name: "web", description: "pages" }]
        }
      ])
      assert.match(messages[0]?.agentVersion ?? "", /^v\d/)
      assert.strictEqual(yield* Queue.size(hub.dials), 2)
    })
  )

  it.scoped("dials again with growing pauses while the hub is away, and at once a little after a loss", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const log = yield* logLines
      hub.reachable = false
      const barn = yield* agent(hub).pipe(Effect.provide(log.layer))
      for (let i = 0; i < 10; i++) {
        const line = yield* log.until(/nothing listens there; next try in/)
        const pause = Number(/in ([\d.]+) s/.exec(line)?.[1]) * 1000
        const middle = Math.min(RECONNECT_BASE * 2 ** i, RECONNECT_CAP)
        // The line rounds to a tenth of a second.
        assert.isAtLeast(pause, middle * 0.75 - 50)
        assert.isAtMost(pause, middle * 1.25 + 50)
        yield* TestClock.adjust(pause + 50)
      }
      yield* log.until(/next try in/)
      hub.reachable = true
      yield* TestClock.adjust(RECONNECT_CAP * 1.25)
      yield* barn.registered("barn")
      yield* Queue.takeAll(hub.dials)

      yield* TestClock.adjust(60_000)
      hub.cutControl("barn")
      while ((yield* Queue.size(hub.dials)) === 0) yield* TestClock.adjust(RECONNECT_BASE / 10)
      yield* barn.registered("barn")
    })
  )

  it.scoped("asks a hub that refuses again, slowly, and says so; another machine is not touched", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const log = yield* logLines
      let refusal: string | undefined = "Access denied"
      hub.refuseRegister = (message) => (message.machineName === "barn" ? refusal : undefined)
      const both = yield* agent(hub, { machines: [machine(), machine({ name: "shed" })] }).pipe(
        Effect.provide(log.layer)
      )
      yield* both.registered("shed")
      assert.match(yield* log.until(/refuses the registration/), /Access denied; check the token.*next try in \d\d s/)
      yield* Queue.takeAll(hub.dials)
      yield* TestClock.adjust(REFUSED_RETRY * 0.75 - 1)
      assert.strictEqual(yield* Queue.size(hub.dials), 0)
      refusal = "this machine is already registered by another agent"
      yield* TestClock.adjust(REFUSED_RETRY * 0.5 + 1)
      assert.match(yield* log.until(/refuses the registration/), /already registered/)
      refusal = undefined
      yield* TestClock.adjust(REFUSED_RETRY * 1.25)
      yield* both.registered("barn")
    })
  )

  it.scoped("gives up on a hub that never answers, and dials again", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const log = yield* logLines
      const dial = hub.dial
      let silent = true
      const mute: typeof dial = (url) =>
        Effect.tap(dial(url), (carrier) =>
          Effect.sync(() => {
            if (silent) carrier.sendText = () => true
          })
        )
      Object.defineProperty(hub, "dial", { value: mute })
      const barn = yield* agent(hub).pipe(Effect.provide(log.layer))
      yield* Queue.take(hub.dials)
      silent = false
      yield* TestClock.adjust(REGISTER_TIMEOUT)
      assert.match(yield* log.until(/not registered/), /no answer to register/)
      yield* TestClock.adjust(RECONNECT_CAP)
      yield* barn.registered("barn")
    })
  )

  it.scoped("joins a session with the messages of the protocol", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      hub.services = ["db"]
      const identity = generate()
      const barn = yield* agent(hub, { identity })
      yield* barn.registered("barn")
      const { next } = yield* rawClient(hub)
      assert.deepStrictEqual(yield* next, { type: "ready", sessionIdx: 1, principal: "alice" })
      const offer = yield* next
      assert.deepStrictEqual(offer, {
        type: "wg-pubkey",
        wgPubKey: offer.type === "wg-pubkey" ? offer.wgPubKey : "",
        ports: [5432],
        capabilities: { tunnels: ["stream/1"], serviceGrants: true, resumes: true },
        tunnels: ["stream/1"],
        identity: identity.publicHex
      })
    })
  )

  it.scoped("says that streams can go on only where they can", () =>
    Effect.gen(function* () {
      const offered = (hub: MemoryHub.MemoryHub) =>
        Effect.gen(function* () {
          const { next } = yield* rawClient(hub)
          yield* next
          const offer = yield* next
          return offer.type === "wg-pubkey" ? offer.capabilities?.["resumes"] : undefined
        })
      const without = yield* MemoryHub.make
      const noGrace = yield* agent(without, { resumeGrace: 0 })
      yield* noGrace.registered("barn")
      assert.deepStrictEqual((yield* Queue.take(without.registers)).capabilities, {
        tunnels: ["stream/1"],
        serviceGrants: true
      })
      assert.isUndefined(yield* offered(without))

      const full = yield* MemoryHub.make
      const noRoom = yield* agent(full, {
        budget: new KeepBudget({ total: 2 * KEPT_RESERVE, perIdentity: 2 * KEPT_RESERVE })
      })
      yield* noRoom.registered("barn")
      assert.strictEqual((yield* Queue.take(full.registers)).capabilities?.["resumes"], true)
      assert.strictEqual(yield* offered(full), true)
      const options = yield* client(full)
      const scope = yield* Effect.scope
      const account = () => new KeepBudget().open("")
      const { kept } = yield* Session.attempt(options, { scope, account })
      assert.isDefined(kept)
      full.principal = "bob"
      assert.isUndefined(yield* offered(full))
      assert.isUndefined((yield* Session.attempt(yield* client(full), { scope, account })).kept)
      full.principal = "alice"
      assert.strictEqual(yield* offered(full), true, "the one that it has can go on")
    })
  )

  it.scoped("comes back to a hub that stops when it wants it, and not much later than that whatever it says", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub)
      yield* barn.registered("barn")
      yield* Queue.takeAll(hub.dials)
      hub.control("barn")?.sendText(Control.encode({ type: "drain", retryIn: 10 * 24 * 3_600_000 }))
      yield* settle
      yield* TestClock.adjust(RETRY_IN_MOST - 1)
      yield* settle
      assert.strictEqual(yield* Queue.size(hub.dials), 0)
      yield* TestClock.adjust(1)
      yield* Queue.take(hub.dials)
    })
  )

  it.scoped("comes back earlier, but not with all others at once, when the hub that stops is gone before", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const names = Array.from({ length: 20 }, (_, index) => `m${index}`)
      const all = yield* agent(hub, { machines: names.map((name) => machine({ name })) })
      for (const name of names) yield* all.registered(name)
      yield* Queue.takeAll(hub.dials)
      for (const name of names) hub.control(name)?.sendText(Control.encode({ type: "drain", retryIn: 20_000 }))
      yield* settle
      for (const name of names) hub.cutControl(name)
      yield* settle
      const early = yield* Queue.size(hub.dials)
      assert.isAtMost(early, 10)
      yield* TestClock.adjust(RESUME_RETRY_CAP)
      yield* settle
      assert.strictEqual(yield* Queue.size(hub.dials), names.length)
    })
  )

  it.scoped("asks a hub that refuses for now when it says, and not much later than that whatever it says", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      let isFull = true
      hub.refuseRegister = () => (isFull ? "too many machines" : undefined)
      hub.retryIn = 10 * 24 * 3_600_000
      const barn = yield* agent(hub)
      yield* Queue.take(hub.registers)
      yield* settle
      isFull = false
      yield* TestClock.adjust(RETRY_IN_MOST * 1.25)
      yield* settle
      yield* barn.registered("barn")
    })
  )

  it.scoped("tells its clients that their connections are over when it stops, rather than only being gone", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const scope = yield* Scope.make()
      let told: TunnelClosed | undefined
      let waited = 0
      // With its registration the hub ends its sessions, whatever they still have to say.
      const left = Effect.gen(function* () {
        yield* settle
        assert.isDefined(hub.control("barn"))
        assert.strictEqual(told?.kind, "closed")
      })
      const barn = yield* Scope.extend(agent(hub, { left: Effect.suspend(() => (waited++, left)) }), scope)
      yield* barn.registered("barn")
      const account = () => new KeepBudget().open("")
      const { session } = yield* Session.attempt(yield* client(hub), { scope: yield* Effect.scope, account })
      yield* Effect.forkScoped(
        Effect.map(Effect.raceFirst(session.tunnel.closed, session.tunnel.detached), (how) => (told = how))
      )
      yield* Scope.close(scope, Exit.void)
      yield* settle
      assert.strictEqual(waited, 1)
      assert.isUndefined(hub.control("barn"))
    })
  )

  it.scoped("turns a WireGuard client away, and says why", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const log = yield* logLines
      const barn = yield* agent(hub).pipe(Effect.provide(log.layer))
      yield* barn.registered("barn")
      const { carrier, inbox, next } = yield* rawClient(hub)
      yield* next
      yield* next
      const control = frame(1)
      control[2] = RelayFrame.FLAG_CONTROL
      carrier.send(control)
      carrier.send(frame(1, 0, 0, 0, 9, 9))
      assert.match(yield* log.until(/session refused/), /client speaks no stream\/1/)
      yield* inbox.closed
    })
  )

  it.scoped.each([
    ["an index above 254", { sessionIdx: 255 }, /index 255 is above 254/],
    ["no session key", { wgPubKey: "" }, /no usable session key/],
    ["a session key that would break out of a configuration", { wgPubKey: "ab\ncd" }, /no usable session key/]
  ] as const)("refuses a session with %s without joining it", ([, change, expected]) =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const log = yield* logLines
      const barn = yield* agent(hub).pipe(Effect.provide(log.layer))
      yield* barn.registered("barn")
      hub.sessionRequest = (request) => ({ ...request, ...change })
      yield* Queue.takeAll(hub.dials)
      yield* rawClient(hub)
      assert.match(yield* log.until(/session refused/), expected)
      assert.strictEqual(yield* Queue.size(hub.dials), 1)
      hub.sessionRequest = (request) => request
      yield* Session.open(yield* client(hub))
    })
  )

  it.scoped("logs under which name its own list has the client", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const log = yield* logLines
      const identity = generate()
      const clients = [{ key: identity.publicHex, name: "kim", services: undefined }]
      const barn = yield* agent(hub, { machines: [machine({ clients })] }).pipe(Effect.provide(log.layer))
      yield* barn.registered("barn")
      yield* Session.open(yield* client(hub, { identity }))
      assert.include(yield* log.until(/session up/), `"listed":"kim"`)
    })
  )

  it.scoped("lives through whatever a hub may say on the control socket", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub)
      yield* barn.registered("barn")
      const control = hub.control("barn")
      for (const text of [
        "",
        "nonsense",
        "[]",
        `{"type":"session-request"}`,
        `{"type":"session-request","sessionId":"x","sessionIdx":1}`,
        `{"type":"session-request","sessionId":"unknown-session","sessionIdx":1,"wgPubKey":"${"a".repeat(64)}"}`,
        `{"type":"mgmt-request","requestId":"1","action":"update"}`,
        `{"type":"error","message":"\\u001b[2J"}`,
        `{"type":"registered","machineId":"barn","defaultUpdate":{"Channel":"dev"}}`
      ]) {
        control?.sendText(text)
      }
      control?.send(Uint8Array.of(1, 2, 3))
      yield* Session.open(yield* client(hub))
    })
  )

  it.scoped("keeps a machine's sessions when its control socket is lost, and hears of them on the next one", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub)
      yield* barn.registered("barn")
      const { tunnel } = yield* Session.open(yield* client(hub))
      yield* Queue.takeAll(hub.registers)
      hub.cutControl("barn")
      assert.strictEqual((yield* Effect.flip(tunnel.open({ port: 22 }))).code, ResetCode.refused)
      yield* TestClock.adjust(RECONNECT_BASE * 1.25)
      yield* Queue.take(hub.registers)
      yield* barn.registered("barn")
      const revoked = { type: "session-revoked", sessionId: "session-1", principal: "alice", reason: "gone" } as const
      hub.control("barn")?.sendText(Control.encode(revoked))
      assert.strictEqual((yield* tunnel.closed).kind, "lost")
    })
  )

  it.scoped("connects a stream to exposed services only, and only to what the session may use", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const reached: Array<string> = []
      const barn = yield* agent(hub, {
        machines: [machine({ target: "10.0.0.7", services: [service(22), service(5432, "db"), service(80)] })],
        reach: ({ host, port }) => {
          reached.push(`${host}:${port}`)
          return new StreamReset({ code: ResetCode.unreachable, reason: `${host}:${port} is unreachable` })
        }
      })
      yield* barn.registered("barn")
      hub.services = ["DB", "22"]
      const { tunnel } = yield* Session.open(yield* client(hub))
      const why = (target: Parameters<typeof tunnel.open>[0]) =>
        Effect.map(Effect.flip(tunnel.open(target)), ({ code, reason }) => [code, reason])
      assert.deepStrictEqual(yield* why({ port: 80 }), [ResetCode.denied, "this session may not use HTTP (port 80)"])
      assert.deepStrictEqual(yield* why({ service: "http" }), [
        ResetCode.denied,
        "this session may not use HTTP (port 80)"
      ])
      assert.deepStrictEqual(yield* why({ port: 23 }), [ResetCode.denied, `"barn" does not expose port 23`])
      assert.deepStrictEqual(reached, [])
      assert.deepStrictEqual(yield* why({ service: "ssh" }), [ResetCode.unreachable, "10.0.0.7:22 is unreachable"])
      assert.deepStrictEqual(yield* why({ port: 5432 }), [ResetCode.unreachable, "10.0.0.7:5432 is unreachable"])
      assert.deepStrictEqual(reached, ["10.0.0.7:22", "10.0.0.7:5432"])
    })
  )

  it.scoped("opens nothing for a handshake that is played to it again", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const log = yield* logLines
      const barn = yield* agent(hub).pipe(Effect.provide(log.layer))
      yield* barn.registered("barn")
      const recorded: Array<Uint8Array> = []
      hub.toAgent = (message) => {
        recorded.push(Uint8Array.from(message))
        return [message]
      }
      const options = yield* client(hub)
      const { tunnel } = yield* Session.open(options)
      yield* Effect.flip(tunnel.open({ port: 22 }))
      yield* log.until(/stream refused/)
      hub.toAgent = (message) => [message]

      // The hub asks for the same client again, and plays what that client said.
      const { carrier, inbox, next } = yield* rawClient(hub, { identity: options.identity.publicHex })
      yield* next
      yield* next
      for (const message of recorded) carrier.send(message)
      assert.match(yield* log.until(/session refused/), /./)
      yield* inbox.closed
      assert.strictEqual(barn.held().streams, 0)
    })
  )

  it.scoped("says goodbye to the hub when it stops, sessions included", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const scope = yield* Scope.make()
      const barn = yield* Scope.extend(agent(hub), scope)
      yield* barn.registered("barn")
      const { tunnel } = yield* Session.open(yield* client(hub))
      const over = yield* Effect.fork(tunnel.closed)
      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      yield* Fiber.join(over)
      const error = yield* Effect.flip(Session.open(yield* client(hub)))
      assert.strictEqual(error.kind, "not-found")
      assert.deepStrictEqual(barn.held(), heldNothing)
    })
  )
})
