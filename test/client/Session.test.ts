import * as Fs from "node:fs/promises"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/TestClock"
import * as Session from "../../src/client/Session.ts"
import { fingerprint, generate } from "../../src/crypto/KeyPair.ts"
import { HANDSHAKE_TIMEOUT, SESSION_READY_TIMEOUT } from "../../src/protocol/Limits.ts"
import * as RelayFrame from "../../src/protocol/RelayFrame.ts"
import { agent, client, hubUrl, machine } from "../support/ends.ts"
import * as MemoryHub from "../support/MemoryHub.ts"

const print = (keys: ReturnType<typeof generate>) => fingerprint(keys.publicKey)

/** A hub with the agent of "barn" registered, and a client's options. */
const setUp = Effect.gen(function* () {
  const hub = yield* MemoryHub.make
  const identity = generate()
  const barn = yield* agent(hub, { identity })
  yield* barn.registered("barn")
  return { hub, barn, identity, options: yield* client(hub) }
})

const open = (options: Session.SessionOptions) => Effect.scoped(Session.open(options))
const pins = (options: Session.SessionOptions) => Effect.map(options.known.list, (list) => list.length)

/** Edits the agent's wg-pubkey message on its way. */
const edit = (change: (message: Record<string, unknown>) => Record<string, unknown>) => (text: string) => [
  JSON.stringify(change(JSON.parse(text) as Record<string, unknown>))
]

const without = (...names: ReadonlyArray<string>) =>
  edit((message) => Object.fromEntries(Object.entries(message).filter(([name]) => !names.includes(name))))

describe("Session", () => {
  it.scoped("comes up, with what the agent offers, and pins the key", () =>
    Effect.gen(function* () {
      const { hub, identity, options } = yield* setUp
      const session = yield* Session.open({ ...options, ports: [22] })
      assert.strictEqual(session.principal, "alice")
      assert.strictEqual(session.fingerprint, print(identity))
      assert.isTrue(session.firstUse)
      assert.deepStrictEqual(session.services, [
        { port: 22, name: "" },
        { port: 5432, name: "db" }
      ])
      assert.deepStrictEqual(yield* options.known.list, [
        { hub: hubUrl, machine: "barn", fingerprint: print(identity) }
      ])
      assert.isFalse((yield* Session.open(options)).firstUse)
      hub.services = ["DB"]
      assert.deepStrictEqual((yield* Session.open(options)).services, [{ port: 5432, name: "db" }])
    })
  )

  it.scoped("comes up through a hub that vouches for nobody", () =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      hub.vouches = false
      assert.isUndefined((yield* Session.open(options)).principal)
    })
  )

  it.scoped("takes ready and wg-pubkey in any order, and ignores what it does not know", () =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      let late = ""
      hub.ready = (message) => {
        late = JSON.stringify(message)
        return undefined
      }
      hub.agentText = (text) => [`{"type":"udp-offer","port":1}`, "not json", `{"type":"keepalive"}`, `${text}\n`, late]
      assert.strictEqual((yield* Session.open(options)).principal, "alice")
    })
  )

  it.scoped("refuses a key that is not the pinned one, before the handshake, with the way out", () =>
    Effect.gen(function* () {
      const { hub, options, identity } = yield* setUp
      const old = print(generate())
      yield* options.known.accept(hubUrl, "barn", old)
      let frames = 0
      hub.toAgent = (frame) => {
        frames++
        return [frame]
      }
      const error = yield* Effect.flip(open(options))
      assert.strictEqual(error.kind, "untrusted")
      assert.include(error.message, `the key of "barn" at ${hubUrl} has CHANGED`)
      assert.include(error.message, old)
      assert.include(error.message, `tela trust accept barn -hub ${hubUrl} -fingerprint ${print(identity)}`)
      assert.include(error.message, "tela trust forget barn")
      assert.notInclude(error.message, "\n")
      assert.strictEqual(frames, 0)
      assert.deepStrictEqual((yield* options.known.list)[0]?.fingerprint, old)
    })
  )

  it.scoped("holds the key against a fingerprint known from elsewhere", () =>
    Effect.gen(function* () {
      const { options, identity } = yield* setUp
      const error = yield* Effect.flip(open({ ...options, fingerprint: print(generate()) }))
      assert.strictEqual(error.kind, "untrusted")
      assert.strictEqual(yield* pins(options), 0)
      yield* open({ ...options, fingerprint: print(identity) })
      assert.strictEqual(yield* pins(options), 1)
    })
  )

  it.scoped.each([
    ["strips tunnels", without("tunnels")],
    ["empties tunnels", edit((message) => ({ ...message, tunnels: ["wireguard"] }))],
    ["strips the identity", without("identity")],
    ["breaks the session key", edit((message) => ({ ...message, wgPubKey: "abc\nx" }))]
  ] as const)("does not go below stream/1 when a hub %s, pinned or not", ([, change]) =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      hub.agentText = change
      for (const pinned of [false, true]) {
        if (pinned) {
          hub.agentText = (text) => [text]
          yield* open(options)
          hub.agentText = change
        }
        const error = yield* Effect.flip(open(options))
        assert.strictEqual(error.kind, "incompatible")
        assert.strictEqual(yield* pins(options), pinned ? 1 : 0)
      }
    })
  )

  it.scoped("says that the agent speaks no stream/1", () =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      hub.agentText = without("identity", "tunnels")
      assert.include((yield* Effect.flip(open(options))).message, "agent speaks no stream/1")
    })
  )

  it.scoped.each([
    ["swaps the identity", edit((message) => ({ ...message, identity: generate().publicHex }))],
    ["swaps the session key", edit((message) => ({ ...message, wgPubKey: generate().publicHex }))],
    ["changes the ports", edit((message) => ({ ...message, ports: [22] }))],
    ["adds a tunnel", edit((message) => ({ ...message, tunnels: ["stream/1", "stream/0"] }))],
    ["claims ports that are none", edit((message) => ({ ...message, ports: [-1, 1e12] }))]
  ] as const)("gets no tunnel through a hub that %s, and pins nothing", ([, change]) =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      hub.agentText = change
      const error = yield* Effect.flip(open(options))
      // The agent finds it first and hangs up, which the client cannot tell from a lost connection: no tunnel either way.
      assert.include(["untrusted", "lost"], error.kind)
      assert.strictEqual(yield* pins(options), 0)
    })
  )

  it.scoped("gets no tunnel to another machine of the same telad, nor into somebody else's session", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const both = yield* agent(hub, { machines: [machine(), machine({ name: "shed" })] })
      yield* both.registered("barn")
      yield* both.registered("shed")
      const options = yield* client(hub)
      yield* open(options)
      hub.route = () => "shed"
      assert.include(["untrusted", "lost"], (yield* Effect.flip(open(options))).kind)
      hub.route = (name) => name
      hub.sessionRequest = (request) => ({ ...request, wgPubKey: generate().publicHex })
      assert.include(["untrusted", "lost"], (yield* Effect.flip(open(options))).kind)
      assert.strictEqual(both.held().streams, 0)
    })
  )

  it.scoped("detects bits flipped in the agent's handshake message", () =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      hub.toClient = (frame) => {
        const last = frame.length - 1
        frame[last] = (frame[last] ?? 0) ^ 1
        return [frame]
      }
      const error = yield* Effect.flip(open(options))
      assert.strictEqual(error.kind, "untrusted")
      assert.strictEqual(yield* pins(options), 0)
    })
  )

  it.scoped("detects an answer of another session that is played to it", () =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      let recorded: Uint8Array | undefined
      hub.toClient = (frame) => {
        recorded ??= Uint8Array.from(frame)
        return [frame]
      }
      yield* open(options)
      hub.toClient = () => (recorded === undefined ? [] : [Uint8Array.from(recorded)])
      assert.strictEqual((yield* Effect.flip(open(options))).kind, "untrusted")
    })
  )

  it.scoped("refuses a session that the agent serves for somebody else", () =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      hub.ready = (message) => ({ ...message, principal: "mallory" })
      const error = yield* Effect.flip(open(options))
      assert.strictEqual(error.kind, "untrusted")
      assert.include(error.message, `"alice"`)
      assert.include(error.message, `"mallory"`)
      hub.ready = ({ sessionIdx, type }) => ({ sessionIdx, type })
      assert.strictEqual((yield* Effect.flip(open(options))).kind, "untrusted")
      assert.strictEqual(yield* pins(options), 0)
    })
  )

  it.scoped("gets nothing from an agent that is asked for another key, or does not list it", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const barn = yield* agent(hub, { machines: [machine(), machine({ name: "shed", clients: [] })] })
      yield* barn.registered("barn")
      yield* barn.registered("shed")
      const options = yield* client(hub)
      assert.notStrictEqual((yield* Effect.flip(open({ ...options, machine: "shed" }))).kind, "local")
      hub.sessionRequest = (request) =>
        request.client === undefined
          ? request
          : { ...request, client: { ...request.client, key: generate().publicHex } }
      yield* Effect.flip(open(options))
      assert.strictEqual(yield* pins(options), 0)
    })
  )

  it.scoped.each([
    ["Machine not found", "not-found", /unknown at .*, or offline; run: tela machines/],
    ["Access denied", "denied", /ask the hub's owner/],
    ["Access denied: invalid token", "denied", /check the token/],
    ["Invalid token", "denied", /check the token/],
    ["Too many sessions for this machine (max 254)", "refused", /Too many sessions/],
    ["\u001b[31mred\n", "refused", /\?\[31mred\?$/]
  ] as const)("explains the hub's %j", ([text, kind, expected]) =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      hub.refuseConnect = () => text
      const error = yield* Effect.flip(open(options))
      assert.strictEqual(error.kind, kind)
      assert.match(error.message, expected)
      assert.notInclude(error.message, "client-token")
    })
  )

  it.scoped("explains a hub that cannot be reached", () =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      hub.reachable = false
      const error = yield* Effect.flip(open(options))
      assert.strictEqual(error.kind, "unreachable")
      assert.include(error.message, hubUrl)
    })
  )

  it.scoped("refuses to go on with a file of pins that it cannot read", () =>
    Effect.gen(function* () {
      const { options } = yield* setUp
      yield* Effect.promise(() => Fs.writeFile(options.known.file, "hubs: [\n"))
      const error = yield* Effect.flip(open(options))
      assert.strictEqual(error.kind, "local")
      assert.include(error.message, `${options.known.file}:2:1`)
    })
  )

  it.scoped("waits for an agent that does not come, and for a key that does not come, but not for ever", () =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      hub.agentText = () => []
      const noKey = yield* Effect.fork(Effect.flip(open(options)))
      // The agent's socket is there once it has been dialled: control, client, session.
      yield* Queue.takeN(hub.dials, 3)
      yield* Effect.yieldNow()
      yield* TestClock.adjust(SESSION_READY_TIMEOUT)
      yield* TestClock.adjust(HANDSHAKE_TIMEOUT)
      assert.strictEqual((yield* Fiber.join(noKey)).kind, "lost")

      hub.sessionRequest = (request) => ({ ...request, sessionIdx: 255 })
      const noAgent = yield* Effect.fork(Effect.flip(open(options)))
      yield* Queue.take(hub.dials)
      yield* TestClock.adjust(SESSION_READY_TIMEOUT)
      const error = yield* Fiber.join(noAgent)
      assert.strictEqual(error.kind, "lost")
      assert.include(error.message, "no answer")
    })
  )

  it.scoped("sends the frames of a first-hub sender, and no token to the agent", () =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp
      const requests: Array<string> = []
      hub.sessionRequest = (request) => {
        requests.push(JSON.stringify(request))
        return request
      }
      let hops: number | undefined
      hub.toAgent = (frame) => {
        hops ??= frame[1]
        assert.isTrue(RelayFrame.isFrame(frame))
        return [frame]
      }
      yield* open(options)
      assert.strictEqual(hops, 0)
      assert.notInclude(requests.join(), "client-token")
    })
  )
})
