import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Sockets from "./harness/Sockets.ts"
import * as Tela from "./harness/Tela.ts"
import * as World from "./harness/World.ts"

/** One line there and back on a connection of its own. A connection waits while there is no tunnel, so this does too. */
const roundTrip = (port: number, line: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const socket = yield* Sockets.open(port)
      yield* Sockets.write(socket, Buffer.from(line))
      return (yield* Sockets.read(socket, line.length)).toString()
    })
  )

describe("an outage", () => {
  it.scopedLive("a killed hub: connections stand still, new ones wait, and all go on when it is back", () =>
    Effect.gen(function* () {
      const service = yield* Sockets.serve(Sockets.echo)
      const world = yield* World.make([{ name: "web-01", services: [{ port: service, name: "echo" }] }])
      const client = yield* world.connect("web-01")
      const port = client.port("echo")
      const victim = yield* Sockets.open(port)
      yield* Sockets.write(victim, Buffer.from("x"))
      yield* Sockets.read(victim, 1)

      yield* world.hub.program.end("SIGKILL")
      yield* Sockets.write(victim, Buffer.from("through"))
      const waiting = yield* Effect.fork(roundTrip(port, "asked for while the hub was down"))
      yield* Tela.startHub(world.hub.file, world.hub.port)
      assert.strictEqual((yield* Sockets.read(victim, 7)).toString(), "through")
      assert.strictEqual(yield* Fiber.join(waiting), "asked for while the hub was down")
      assert.strictEqual(yield* roundTrip(port, "and after"), "and after")
      assert.strictEqual(client.program.output("stdout"), client.table)
    })
  )

  it.scopedLive("a killed agent: what it had is reset, as soon as its successor says so; new connections wait", () =>
    Effect.gen(function* () {
      const service = yield* Sockets.serve(Sockets.echo)
      const machines = [{ name: "web-01", services: [{ port: service, name: "echo" }] }]
      const world = yield* World.make(machines)
      const client = yield* world.connect("web-01")
      const port = client.port("echo")
      const victim = yield* Sockets.open(port)
      yield* Sockets.write(victim, Buffer.from("x"))
      yield* Sockets.read(victim, 1)

      yield* world.agent.end("SIGKILL")
      const waiting = yield* Effect.fork(roundTrip(port, "asked for while the agent was down"))
      yield* world.restartAgent
      // never an end that looks as if everything had come
      assert.strictEqual(yield* Sockets.closeOf(victim), "reset")
      assert.strictEqual(yield* Fiber.join(waiting), "asked for while the agent was down")
    })
  )

  it.scopedLive("a restarted hub and agent end on their signals, with exit code 0", () =>
    Effect.gen(function* () {
      const service = yield* Sockets.serve(Sockets.echo)
      const world = yield* World.make([{ name: "web-01", ports: [service] }])
      assert.strictEqual((yield* world.agent.end("SIGTERM")).code, 0)
      assert.strictEqual((yield* world.hub.program.end("SIGTERM")).code, 0)
    })
  )
})
