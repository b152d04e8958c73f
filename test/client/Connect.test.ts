/** Client and agent together over a hub in memory, with real sockets at both ends. */
import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/TestClock"
import * as Connect from "../../src/client/Connect.ts"
import type { ConnectEvent } from "../../src/client/ConnectEvent.ts"
import { generate } from "../../src/crypto/KeyPair.ts"
import { RECONNECT_BASE, RECONNECT_CAP, RESUME_RETRY_CAP } from "../../src/protocol/Limits.ts"
import * as Tcp from "../../src/transport/Tcp.ts"
import * as Conditions from "../support/Conditions.ts"
import { agent, client, machine, service } from "../support/ends.ts"
import * as MemoryHub from "../support/MemoryHub.ts"
import { turn } from "../support/turn.ts"

/** A TCP service on a free port: says hello, echoes, and finishes when the peer does. */
const echo = Effect.acquireRelease(
  Effect.async<{ readonly port: number; readonly server: Net.Server }>((resume) => {
    const server = Net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {})
      socket.write("hello ")
      socket.pipe(socket)
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed({ server, port: typeof address === "object" && address !== null ? address.port : 0 }))
    })
  }),
  ({ server }) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
)

/** A local program's connection. */
const dial = (port: number) => {
  const { changed, when } = Conditions.make()
  const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
  let connected = false
  let received = ""
  let failure: Error | undefined
  socket.setEncoding("utf8")
  socket.on("connect", () => {
    connected = true
    changed()
  })
  socket.on("data", (text: string) => {
    received += text
    changed()
  })
  socket.on("error", (error) => {
    failure = error
  })
  socket.on("close", changed)
  return {
    socket,
    received: () => received,
    connected: when(() => connected),
    /** Something has come. */
    data: when(() => received !== ""),
    /** All that came, once both sides are done; or the error. */
    closed: Effect.map(
      when(() => socket.closed),
      () => failure?.message ?? received
    )
  }
}

const setUp = (over: Partial<Parameters<typeof machine>[0]> = {}, reach?: typeof Tcp.connect) =>
  Effect.gen(function* () {
    const hub = yield* MemoryHub.make
    const { port } = yield* echo
    const identity = generate()
    const barn = yield* agent(hub, {
      identity,
      machines: [machine({ services: [service(port, "echo"), service(7, "gone")], ...over })],
      reach: reach ?? Tcp.connect
    })
    yield* barn.registered("barn")
    const events = yield* Queue.unbounded<ConnectEvent>()
    const options: Connect.ConnectOptions = {
      ...(yield* client(hub)),
      ports: [],
      onEvent: (event) => void events.unsafeOffer(event)
    }
    const until = <Tag extends ConnectEvent["_tag"]>(tag: Tag) =>
      Effect.repeat(Queue.take(events), {
        until: (event): event is Extract<ConnectEvent, { readonly _tag: Tag }> => event._tag === tag
      })
    return { hub, port, identity, barn, options, until }
  })

const localOf = (connection: Connect.Connection, label: string) =>
  connection.services.find((each) => each.label === label)?.local ?? assert.fail(`no ${label}`)

describe("Connect", () => {
  it.scoped("binds what the agent offers and carries bytes and ends both ways", () =>
    Effect.gen(function* () {
      const { options, port, until } = yield* setUp()
      const connection = yield* Connect.make(options)
      assert.deepStrictEqual(
        connection.services.map(({ label, machine: name, remote }) => [label, name, remote]),
        [
          ["echo", "barn", port],
          ["gone", "barn", 7]
        ]
      )
      assert.deepInclude(yield* until("Bound"), { services: connection.services })
      const local = dial(localOf(connection, "echo"))
      yield* local.data
      const text = "x".repeat(300_000)
      local.socket.end(text)
      assert.strictEqual(yield* local.closed, `hello ${text}`)
      assert.deepInclude(yield* until("StreamEnded"), {
        received: text.length + 6,
        sent: text.length,
        reason: undefined
      })
    })
  )

  it.scoped("resets a connection to a service that does not answer, and names it", () =>
    Effect.gen(function* () {
      const { options, until } = yield* setUp({}, ({ host, port, timeout }) =>
        Tcp.connect({ host, port: port === 7 ? 1 : port, timeout })
      )
      const connection = yield* Connect.make({ ...options, services: ["gone"] })
      const local = dial(localOf(connection, "gone"))
      assert.match(yield* local.closed, /ECONNRESET/)
      assert.deepInclude(yield* until("StreamRefused"), {
        service: "gone",
        reason: "127.0.0.1:1 refused the connection"
      })
    })
  )

  it.scoped("goes on after a loss: what is open stands still meanwhile, what comes meanwhile waits", () =>
    Effect.gen(function* () {
      const { hub, options, until } = yield* setUp()
      const connection = yield* Connect.make({ ...options, services: ["echo"] })
      const port = localOf(connection, "echo")
      const before = dial(port)
      yield* before.data
      hub.cutSessions()
      assert.deepInclude(yield* until("Reconnecting"), { lost: true, waiting: 1 })
      before.socket.end("through")
      const waiting = dial(port)
      yield* waiting.connected
      yield* TestClock.adjust(RECONNECT_BASE * 1.25)
      assert.deepInclude(yield* until("Connected"), { again: true, firstUse: false, resumed: true, carried: 1 })
      assert.strictEqual(yield* before.closed, "hello through")
      yield* waiting.data
      waiting.socket.end("after")
      assert.strictEqual(yield* waiting.closed, "hello after")
    })
  )

  it.scoped.each([
    ["neither end waits", 0, /ECONNRESET/],
    ["nobody comes back in time", 30_000, /ECONNRESET/]
  ] as const)("keeps its ports, and resets what is open, when %s", ([, resumeGrace, end]) =>
    Effect.gen(function* () {
      const { hub, options, until } = yield* setUp()
      const connection = yield* Connect.make({ ...options, services: ["echo"], resumeGrace })
      const port = localOf(connection, "echo")
      const before = dial(port)
      yield* before.data
      hub.reachable = false
      hub.cutSessions()
      assert.deepInclude(yield* until("Reconnecting"), { lost: true, waiting: resumeGrace === 0 ? 0 : 1 })
      // Whoever waits for the next session has begun to.
      yield* Effect.repeatN(turn, 20)
      yield* TestClock.adjust(resumeGrace)
      assert.match(yield* before.closed, end)
      const waiting = dial(port)
      yield* waiting.connected
      hub.reachable = true
      // Less than a local connection waits.
      yield* TestClock.adjust(RESUME_RETRY_CAP * 1.25)
      assert.deepInclude(yield* until("Connected"), { again: true, resumed: false })
      yield* waiting.data
      waiting.socket.end("after")
      assert.strictEqual(yield* waiting.closed, "hello after")
    })
  )

  it.scoped("resets what is open when the agent no longer has it, and says why", () =>
    Effect.gen(function* () {
      const { hub, options, until } = yield* setUp()
      const connection = yield* Connect.make({ ...options, services: ["echo"] })
      const before = dial(localOf(connection, "echo"))
      yield* before.data
      // The hub says that it is another's: the agent keeps what it has for its own client.
      hub.principal = "bob"
      hub.cutSessions()
      yield* until("Reconnecting")
      yield* TestClock.adjust(RECONNECT_BASE * 1.25)
      assert.deepInclude(yield* until("Connected"), { again: true, resumed: false })
      assert.match((yield* until("StreamEnded")).reason ?? "", /the agent no longer has this session/)
      assert.match(yield* before.closed, /ECONNRESET/)
    })
  )

  it.scoped("goes on elsewhere before it has to, when the hub is about to stop", () =>
    Effect.gen(function* () {
      const { hub, options, until } = yield* setUp()
      const connection = yield* Connect.make({ ...options, services: ["echo"] })
      const before = dial(localOf(connection, "echo"))
      yield* before.data
      hub.tellClients(JSON.stringify({ type: "drain", retryIn: 700 }))
      assert.deepInclude(yield* until("Moving"), { retryIn: 700 })
      yield* TestClock.adjust(700)
      assert.deepInclude(yield* until("Connected"), { again: true, resumed: true, carried: 1 })
      before.socket.end("through")
      assert.strictEqual(yield* before.closed, "hello through")
    })
  )

  it.scoped("ends when access is revoked, and when the machine's key changes", () =>
    Effect.gen(function* () {
      for (const change of ["revoked", "other key"]) {
        const { hub, options, until } = yield* setUp()
        const connection = yield* Connect.make({ ...options, services: ["echo"] })
        if (change === "revoked") hub.refuseConnect = () => "Access denied"
        else yield* options.known.accept(options.hub, "barn", (yield* agent(yield* MemoryHub.make)).fingerprint)
        hub.cutSessions()
        yield* until("Reconnecting")
        yield* TestClock.adjust(RECONNECT_CAP)
        const error = yield* Effect.flip(connection.ended)
        assert.strictEqual(error.kind, change === "revoked" ? "denied" : "untrusted")
      }
    })
  )

  it.scoped("ends when the hub meddles with a record, and the service's bytes do not arrive", () =>
    Effect.gen(function* () {
      const { hub, options } = yield* setUp()
      const connection = yield* Connect.make({ ...options, services: ["echo"] })
      hub.toClient = (frame) => {
        const last = frame.length - 1
        frame[last] = (frame[last] ?? 0) ^ 0x80
        return [frame]
      }
      const local = dial(localOf(connection, "echo"))
      assert.strictEqual((yield* Effect.flip(connection.ended)).kind, "untrusted")
      assert.match(yield* local.closed, /ECONNRESET/)
      assert.strictEqual(local.received(), "")
    })
  )

  it.scoped("fails, with the choices, for a service that is not offered, and for a taken port", () =>
    Effect.gen(function* () {
      const { options, port } = yield* setUp()
      const unknown = yield* Effect.flip(Connect.run({ ...options, services: ["ecoh"] }))
      assert.match(unknown.message, /did you mean "echo"\? it offers echo:\d+, gone:7/)
      const taken = yield* Effect.flip(Connect.run({ ...options, ports: [{ local: port, remote: port }] }))
      assert.match(taken.message, /^local port \d+ is taken; choose another one/)
    })
  )

  it.scoped("lets go of everything when it is closed", () =>
    Effect.gen(function* () {
      const { barn, options } = yield* setUp()
      const local = yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* Connect.make({ ...options, services: ["echo"] })
          const open = dial(localOf(connection, "echo"))
          yield* open.data
          return { open, port: localOf(connection, "echo"), closed: yield* Effect.fork(open.closed) }
        })
      )
      assert.match(yield* local.closed, /ECONNRESET/)
      assert.match(yield* dial(local.port).closed, /ECONNREFUSED/)
      // The agent hears of it through the hub, some turns later.
      while (barn.held().streams > 0) yield* turn
    })
  )
})
