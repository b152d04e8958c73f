import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import * as Memory from "./harness/Memory.ts"
import * as Sockets from "./harness/Sockets.ts"
import * as World from "./harness/World.ts"

const MiB = 1024 * 1024
const CHUNK = Buffer.alloc(64 * 1024, 0x5a)

/** What passes beside the stalled connection in a round: it makes time pass, in bytes instead of seconds. */
const ROUND = Buffer.alloc(48 * MiB, 0xa5)
const WARM_UP_ROUNDS = 3
const ROUNDS = 8

/** The rounds at the end whose lowest figure counts: garbage goes between rounds, what is kept is in each of them. */
const LAST_ROUNDS = 3

/**
 * Resident memory may move by this much without anything having been kept: 48 MiB of garbage are made in each round, and
 * the collector runs when it likes. What a stalled reader would cost without backpressure is ROUND times the sender's
 * share, hundreds of MiB.
 */
const NOISE = 32 * MiB

/** Pushes as long as there is room, for ever, and says how much the connection has taken. */
const push = (socket: Net.Socket) => {
  const more = () => {
    while (socket.write(CHUNK)) {
      // as long as there is room
    }
  }
  socket.on("drain", more)
  more()
  return () => socket.bytesWritten - socket.writableLength
}

const scenario = (stalled: "the service" | "the user") =>
  Effect.gen(function* () {
    let taken = () => 0
    const stall = yield* Sockets.serve((socket) => {
      if (stalled === "the service") socket.pause()
      else taken = push(socket)
    })
    const busy = yield* Sockets.serve(Sockets.digest)
    const world = yield* World.make([
      {
        name: "web-01",
        services: [
          { port: stall, name: "stall" },
          { port: busy, name: "busy" }
        ]
      }
    ])
    const client = yield* world.connect("web-01", { services: 2 })
    const programs = { telahubd: world.hub.program.pid, telad: world.agent.pid, tela: client.program.pid }

    const socket = yield* Sockets.open(client.port("stall"))
    if (stalled === "the service") taken = push(socket)
    else socket.pause()

    const round = Effect.scoped(
      Effect.gen(function* () {
        const beside = yield* Sockets.open(client.port("busy"))
        beside.end(ROUND)
        assert.strictEqual((yield* Sockets.readToEnd(beside)).toString(), Sockets.digestOf(ROUND))
        return {
          taken: taken(),
          resident: Object.entries(programs).map(([name, pid]) => [name, Memory.resident(pid)] as const)
        }
      })
    )
    const rounds = yield* Effect.forEach(Array.from({ length: WARM_UP_ROUNDS + ROUNDS }), () => round)
    const warm = rounds.slice(0, WARM_UP_ROUNDS)
    const later = rounds.slice(WARM_UP_ROUNDS)

    const [first, last] = [later[0], later.at(-1)]
    assert.isDefined(first)
    assert.isAbove(first?.taken ?? 0, 0)
    assert.strictEqual(last?.taken, first?.taken, "the sender is blocked")
    for (const [index, name] of Object.keys(programs).entries()) {
      const seen = (of: typeof rounds) => of.map(({ resident }) => resident[index]?.[1] ?? Number.NaN)
      const growth = Math.min(...seen(later.slice(-LAST_ROUNDS))) - Math.max(...seen(warm))
      const all = rounds.map(({ resident }) => Math.round((resident[index]?.[1] ?? 0) / MiB)).join(" ")
      assert.isBelow(growth, NOISE, `${name} grew; MiB after each round: ${all}`)
    }
  })

describe.skipIf(!Memory.isKnown)("a reader that stalls while its sender pushes", () => {
  it.scopedLive("the service stalls: the user's program is blocked, and nobody's memory grows", () =>
    scenario("the service")
  )
  it.scopedLive("the user stalls: the service is blocked, and nobody's memory grows", () => scenario("the user"))
})
