import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { Change } from "../../src/policy/Change.ts"
import * as TestTela from "../../src/testkit/TestTela.ts"

const HELD_BYTES = 8 * 1024 * 1024

/** A service on a free loopback port. */
const service = (serve: (socket: Net.Socket) => void) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly server: Net.Server; readonly sockets: Set<Net.Socket> }>((resume) => {
        const sockets = new Set<Net.Socket>()
        const server = Net.createServer((socket) => {
          sockets.add(socket)
          socket.on("error", () => {})
          serve(socket)
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, sockets })))
      }),
      ({ server, sockets }) =>
        Effect.sync(() => {
          for (const socket of sockets) socket.destroy()
          server.close()
        })
    ),
    ({ server }) => (server.address() as Net.AddressInfo).port
  )

/** A connection to a local port, destroyed with the scope. */
const dial = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = Net.connect(port, "127.0.0.1")
      socket.on("error", () => {})
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Writes for as long as the socket takes it; counts what it took. */
const flood = (socket: Net.Socket) => {
  const chunk = Buffer.alloc(65_536, 1)
  const counter = { sent: 0 }
  const write = (error?: Error | null) => {
    // A socket that failed calls back from within, with its buffer empty and itself not yet destroyed.
    if (error) return
    while (!socket.destroyed && socket.writableLength === 0) {
      counter.sent += chunk.length
      socket.write(chunk, write)
    }
  }
  write()
  return counter
}

/** Waits until a figure no longer changes: several looks in a row see the same. */
const settled = (figure: () => number) =>
  Effect.gen(function* () {
    let same = 0
    for (let last = -1; same < 15;) {
      yield* Effect.sleep(20)
      same = figure() === last ? same + 1 : 0
      last = figure()
    }
    return figure()
  })

describe("TestTela", () => {
  it.scopedLive("reaches a service through hub, agent and client", () =>
    Effect.gen(function* () {
      const port = yield* service((socket) => socket.pipe(socket))
      const tela = yield* TestTela.make({ ports: [port] })
      const connection = yield* tela.connect()
      const [bound] = connection.services
      assert(bound !== undefined)
      const socket = yield* dial(bound.local)
      socket.write("hello")
      const answer = yield* Effect.async<string>(
        (resume) => void socket.once("data", (data) => resume(Effect.succeed(data.toString())))
      )
      assert.strictEqual(answer, "hello")
      assert.strictEqual(bound.remote, port)
      assert.strictEqual((yield* tela.hub.counts).sessions, 1)
    })
  )

  it.scopedLive("changes access, which is felt at once by whoever is connected, and by whoever asks", () =>
    Effect.gen(function* () {
      const port = yield* service((socket) => socket.pipe(socket))
      const tela = yield* TestTela.make({ ports: [port] })
      const connection = yield* tela.connect()
      const socket = yield* dial(connection.services[0]?.local ?? 0)
      const closed = Effect.async<void>((resume) => void socket.once("close", () => resume(Effect.void)))
      yield* tela.change(Change.Revoke({ id: "alice" }))
      yield* closed
      const ended = yield* Effect.flip(connection.ended)
      assert.deepStrictEqual([ended.kind, ended.message], ["revoked", "access revoked: the token of alice was revoked"])
      assert.strictEqual((yield* Effect.flip(tela.connect())).kind, "denied")
      assert.isUndefined(tela.authority.identify(tela.token))
      const answer = yield* Effect.promise(() =>
        fetch(`${tela.hub.url}/api/admin/tokens`, {
          headers: { authorization: `Bearer ${Redacted.value(tela.ownerToken)}` }
        })
      )
      assert.strictEqual(answer.status, 200)
      yield* Effect.promise(() => answer.text())
    })
  )

  it.scopedLive("offers only what the grant names", () =>
    Effect.gen(function* () {
      const open = yield* service(() => {})
      const shut = yield* service(() => {})
      const tela = yield* TestTela.make({ ports: [open, shut], granted: [String(open)] })
      const error = yield* Effect.flip(Effect.scoped(tela.connect()))
      assert.include(error.message, `does not offer you port ${shut}`)
      const connection = yield* tela.connect({ ports: [{ local: 0, remote: open }] })
      assert.deepStrictEqual(
        connection.services.map((each) => each.remote),
        [open]
      )
      // Not even for a client that asks the agent all the same.
      const session = yield* connection.connector.session
      const denied = yield* Effect.flip(session.tunnel.open({ port: shut }))
      assert.include(denied.reason, "may not use")
    })
  )

  it.scopedLive("holds a bounded amount for a local reader that stalls, and for a service that does", () =>
    Effect.gen(function* () {
      let fromService = { sent: 0 }
      const talker = yield* service((socket) => {
        fromService = flood(socket)
      })
      const deaf = yield* service((socket) => socket.pause())
      const tela = yield* TestTela.make({ ports: [talker, deaf] })
      const connection = yield* tela.connect()
      const local = (remote: number) => connection.services.find((each) => each.remote === remote)?.local ?? 0

      const reader = yield* dial(local(talker))
      const writer = yield* dial(local(deaf))
      // Warm up: the reader keeps up for a while, so that its stream's credit grows to the ceiling.
      let read = 0
      yield* Effect.async<void>((resume) => {
        reader.on("data", (data) => {
          read += data.length
          if (read > 64 * 1024 * 1024) resume(Effect.void)
        })
      })
      reader.pause()
      const fromLocal = flood(writer)
      yield* settled(() => fromService.sent)
      yield* settled(() => fromLocal.sent)
      const { agent, client } = tela.held(connection)
      const total = (held: typeof agent) => held.unsent + held.carrier + held.undelivered
      assert.isAtMost(total(agent), HELD_BYTES)
      assert.isAtMost(total(client), HELD_BYTES)
      assert.isAbove(client.undelivered, 0)

      // And it moves on when the reader reads on, so it was held and not lost.
      const before = read
      reader.resume()
      yield* Effect.async<void>((resume) => {
        reader.on("data", () => {
          if (read > before + 2 * HELD_BYTES) resume(Effect.void)
        })
      })
    })
  )
})
