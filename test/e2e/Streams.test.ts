import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { createHash, randomBytes } from "node:crypto"
import type * as Net from "node:net"
import * as Conditions from "../support/Conditions.ts"
import * as Program from "./harness/Program.ts"
import * as Sockets from "./harness/Sockets.ts"
import * as Tools from "./harness/Tools.ts"
import { freePort } from "./harness/Workspace.ts"
import * as World from "./harness/World.ts"

const nc = Tools.missing("nc")
const PAYLOAD = randomBytes(3 * 1024 * 1024)

/** Opened and closed together while a bulk copy runs. */
const CONNECTIONS = 200

/**
 * Where the client does not listen: it would itself be what answers at a port of 127.0.0.1 that nobody else has, since it
 * binds a service at the service's own port.
 */
const ELSEWHERE = "127.0.0.2"

/** Long for a slow computer, and shorter than anything in the programs that waits: WAITING_TIMEOUT is 30 s. */
const AT_ONCE = "20 seconds"

/** A service through the hub: the local port that leads to it. */
const through = (handle: (socket: Net.Socket) => void) =>
  Effect.gen(function* () {
    const port = yield* Sockets.serve(handle)
    const world = yield* World.make([{ name: "web-01", services: [{ port, name: "service" }] }])
    const client = yield* world.connect("web-01")
    return { world, client, port: client.port("service") }
  })

const MiB = 1024 * 1024

/** More than everything on the way can hold, in MiB: a copy that has taken this much more is passing through. */
const PASSING = 16

/**
 * A bulk copy that runs for as long as it is wanted: feeds a service that answers with the digest of all it got. Each MiB
 * begins with its number, so that none can stand for another.
 */
const bulkCopy = (socket: Net.Socket) =>
  Effect.gen(function* () {
    const progress = Conditions.make()
    const hash = createHash("sha256")
    const piece = randomBytes(MiB)
    let pieces = 0
    let wanted = true
    const feed = Effect.gen(function* () {
      while (wanted) {
        piece.writeUInt32BE(pieces)
        hash.update(piece)
        yield* Sockets.write(socket, piece)
        pieces++
        progress.changed()
      }
      socket.end()
      const answer = (yield* Sockets.readToEnd(socket)).toString()
      assert.strictEqual(answer, `${pieces * MiB} ${hash.digest("hex")}\n`)
    })
    const running = yield* Effect.fork(feed)
    return {
      /** Waits until it is certain that more has passed; fails when the copy does. */
      goesOn: Effect.suspend(() => {
        const enough = pieces + PASSING
        return Effect.raceFirst(
          progress.when(() => pieces >= enough),
          Fiber.join(running)
        )
      }),
      /** Ends the copy, and makes sure that it arrived identical. */
      finish: Effect.zipRight(
        Effect.sync(() => (wanted = false)),
        Fiber.join(running)
      )
    }
  })

describe("each direction of a connection ends on its own", () => {
  it.scopedLive("the user is done sending first, and still gets the whole answer", () =>
    Effect.gen(function* () {
      const { port } = yield* through(Sockets.digest)
      const socket = yield* Sockets.open(port)
      socket.end(PAYLOAD)
      assert.strictEqual((yield* Sockets.readToEnd(socket)).toString(), Sockets.digestOf(PAYLOAD))
    })
  )

  it.scopedLive("the service is done sending first, and still gets everything the user sends", () =>
    Effect.gen(function* () {
      const received = yield* Deferred.make<Buffer>()
      const { port } = yield* through((socket) => {
        const chunks: Array<Buffer> = []
        socket.on("data", (chunk: Buffer) => chunks.push(chunk))
        socket.on("end", () => Deferred.unsafeDone(received, Effect.succeed(Buffer.concat(chunks))))
        socket.end("goodbye\n")
      })
      const socket = yield* Sockets.open(port)
      assert.strictEqual((yield* Sockets.readToEnd(socket)).toString(), "goodbye\n")
      socket.end(PAYLOAD)
      assert.isTrue(PAYLOAD.equals(yield* Deferred.await(received)))
    })
  )

  it.scopedLive.skipIf(nc.skip)(`nc -N as the user${nc.notice}`, () =>
    Effect.gen(function* () {
      const { port } = yield* through(Sockets.digest)
      const { stdout } = yield* Program.run({
        command: Tools.path("nc"),
        args: ["-N", "127.0.0.1", String(port)],
        input: PAYLOAD
      })
      assert.strictEqual(stdout, Sockets.digestOf(PAYLOAD))
    })
  )

  it.scopedLive.skipIf(nc.skip)(`nc -N as the service${nc.notice}`, () =>
    Effect.gen(function* () {
      const target = yield* freePort()
      const service = yield* Program.start({
        name: "nc -l",
        command: Tools.path("nc"),
        args: ["-v", "-N", "-l", "127.0.0.1", String(target)],
        input: "said by nc\n"
      })
      yield* service.expect(/Listening on/)
      const world = yield* World.make([{ name: "web-01", services: [{ port: target, name: "service" }] }])
      const client = yield* world.connect("web-01")
      const socket = yield* Sockets.open(client.port("service"))

      // nc is done sending, but still reads: what the user says now has to reach it
      assert.strictEqual((yield* Sockets.readToEnd(socket)).toString(), "said by nc\n")
      socket.end("said by the user\n")
      const { code } = yield* service.ended
      assert.strictEqual(code, 0)
      assert.strictEqual(service.output("stdout"), "said by the user\n")
    })
  )
})

describe("many connections at once", () => {
  it.scopedLive(`${CONNECTIONS} open and close while a bulk copy runs, and the copy arrives identical`, () =>
    Effect.gen(function* () {
      const echo = yield* Sockets.serve(Sockets.echo)
      const bulk = yield* Sockets.serve(Sockets.digest)
      const world = yield* World.make([
        {
          name: "web-01",
          services: [
            { port: echo, name: "echo" },
            { port: bulk, name: "bulk" }
          ]
        }
      ])
      const client = yield* world.connect("web-01", { services: 2 })
      const copy = yield* bulkCopy(yield* Sockets.open(client.port("bulk")))
      yield* copy.goesOn

      const allOpen = yield* Effect.makeLatch(false)
      let open = 0
      const connection = (index: number) =>
        Effect.scoped(
          Effect.gen(function* () {
            const socket = yield* Sockets.open(client.port("echo"))
            const said = Buffer.from(`connection ${index}\n`)
            yield* Sockets.write(socket, said)
            assert.deepStrictEqual(yield* Sockets.read(socket, said.length), said)
            if (++open === CONNECTIONS) {
              yield* copy.goesOn
              yield* allOpen.open
            }
            yield* allOpen.await
            socket.end()
            assert.strictEqual((yield* Sockets.readToEnd(socket)).length, 0)
          })
        )
      const indices = Array.from({ length: CONNECTIONS }, (_, index) => index)
      yield* Effect.forEach(indices, connection, { concurrency: "unbounded" })

      yield* copy.goesOn
      yield* copy.finish
    })
  )
})

describe("a reset passes through", () => {
  it.scopedLive("from the user to the service", () =>
    Effect.gen(function* () {
      const close = yield* Deferred.make<Sockets.Close>()
      const { port } = yield* through((socket) => {
        socket.write("hello")
        socket.once("error", () => Deferred.unsafeDone(close, Effect.succeed("reset")))
        socket.once("end", () => Deferred.unsafeDone(close, Effect.succeed("ended")))
        socket.resume()
      })
      const socket = yield* Sockets.open(port)
      yield* Sockets.read(socket, 5)
      socket.resetAndDestroy()
      assert.strictEqual(yield* Deferred.await(close), "reset")
    })
  )

  it.scopedLive("from the service to the user", () =>
    Effect.gen(function* () {
      const { port } = yield* through((socket) => {
        socket.once("data", () => socket.resetAndDestroy())
      })
      const socket = yield* Sockets.open(port)
      yield* Sockets.write(socket, Buffer.from("x"))
      assert.strictEqual(yield* Sockets.closeOf(socket), "reset")
    })
  )
})

describe("a service that cannot be reached", () => {
  it.scopedLive("closes the local connection at once, and both logs name the reason", () =>
    Effect.gen(function* () {
      const nobody = yield* freePort(ELSEWHERE)
      const world = yield* World.make([
        { name: "web-01", target: ELSEWHERE, services: [{ port: nobody, name: "nothing" }] }
      ])
      const client = yield* world.connect("web-01")
      const socket = yield* Sockets.open(client.port("nothing"))
      const close = yield* Effect.timeout(Sockets.closeOf(socket), AT_ONCE)
      assert.strictEqual(close, "reset")
      yield* client.program.expect(new RegExp(`refused.*127\\.0\\.0\\.2:${nobody}`), { on: "stderr" })
      yield* world.agent.expect(new RegExp(`refused.*127\\.0\\.0\\.2:${nobody}`), { on: "stderr" })
    })
  )

  it.scopedLive("does not disturb its neighbours on the same tunnel", () =>
    Effect.gen(function* () {
      const nobody = yield* freePort(ELSEWHERE)
      const port = yield* Sockets.serve(Sockets.echo, ELSEWHERE)
      const world = yield* World.make([
        {
          name: "web-01",
          target: ELSEWHERE,
          services: [
            { port: nobody, name: "nothing" },
            { port, name: "echo" }
          ]
        }
      ])
      const client = yield* world.connect("web-01", { services: 2 })
      const neighbour = yield* Sockets.open(client.port("echo"))
      for (const round of ["one", "two", "six"]) {
        const socket = yield* Sockets.open(client.port("nothing"))
        assert.strictEqual(yield* Sockets.closeOf(socket), "reset")
        yield* Sockets.write(neighbour, Buffer.from(round))
        assert.strictEqual((yield* Sockets.read(neighbour, 3)).toString(), round)
      }
    })
  )
})
