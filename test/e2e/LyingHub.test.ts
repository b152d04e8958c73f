import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { WebSocket } from "ws"
import { generate } from "../../src/crypto/KeyPair.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as LyingHub from "./harness/LyingHub.ts"
import * as Program from "./harness/Program.ts"
import * as Sockets from "./harness/Sockets.ts"
import * as Tela from "./harness/Tela.ts"
import * as World from "./harness/World.ts"

/** Changes the agent's wg-pubkey message on its way to the client. */
const onOffer =
  (change: (offer: Record<string, unknown>) => void): LyingHub.Lie =>
  (message) => {
    if (typeof message !== "string" || !message.includes('"wg-pubkey"')) return [message]
    const offer = JSON.parse(message) as Record<string, unknown>
    change(offer)
    return [JSON.stringify(offer)]
  }

const HANDSHAKE_ANSWER = 0x82
const RECORD = 0x83
const typeOf = (message: LyingHub.Message) => (typeof message === "string" ? 0 : (message[7] ?? 0))

const flip = (message: LyingHub.Message, at: number): LyingHub.Message => {
  if (typeof message === "string") return message
  const flipped = Buffer.from(message)
  flipped[at] = (flipped[at] ?? 0) ^ 1
  return flipped
}

/** A service that counts its connections and echoes; hub, agent, and the liar in front of the hub. */
const setUp = Effect.gen(function* () {
  let connections = 0
  const port = yield* Sockets.serve((socket) => {
    connections++
    Sockets.echo(socket)
  })
  const world = yield* World.make([{ name: "barn", services: [{ port, name: "echo" }] }])
  const liar = yield* LyingHub.make(world.hub.url)
  const home = yield* temporaryFolder
  const options = { machine: "barn", token: world.alice, home }
  return {
    world,
    liar,
    connections: () => connections,
    connect: Tela.connect(liar.url, options),
    outcome: Program.outcome(Tela.connectCommand(liar.url, home, options))
  }
})

describe("against a hub that lies, tela", () => {
  const lies: ReadonlyArray<readonly [string, () => LyingHub.Lie, RegExp]> = [
    [
      "swaps the pinned key",
      () => onOffer((offer) => (offer["identity"] = generate().publicHex)),
      /has CHANGED.*tela trust accept/
    ],
    ["strips the tunnels member", () => onOffer((offer) => delete offer["tunnels"]), /speaks no stream\/1/],
    ["strips the identity", () => onOffer((offer) => delete offer["identity"]), /speaks no stream\/1/],
    [
      "swaps the session key",
      () => onOffer((offer) => (offer["wgPubKey"] = generate().publicHex)),
      /hung up|did not prove/
    ],
    ["changes the ports", () => onOffer((offer) => (offer["ports"] = [22])), /hung up|did not prove/],
    [
      "flips a bit of the handshake",
      () => (message) => [typeOf(message) === HANDSHAKE_ANSWER ? flip(message, 30) : message],
      /did not prove its key/
    ],
    [
      "says another name for the client",
      () => (message) => [
        typeof message === "string" && message.includes('"ready"') ? message.replace('"alice"', '"mallory"') : message
      ],
      /serves this session for "alice".*"mallory"/
    ]
  ]
  for (const [what, lie, said] of lies) {
    it.scopedLive(`that ${what}: refuses, says why, exits 1, and no service is reached`, () =>
      Effect.gen(function* () {
        const { connect, connections, liar, outcome } = yield* setUp
        yield* Effect.scoped(connect)
        liar.toClient = lie()
        const ended = yield* outcome
        assert.strictEqual(ended.code, 1, ended.stderr)
        assert.match(ended.stderr, said)
        assert.strictEqual(ended.stdout, "")
        assert.strictEqual(connections(), 0)
      })
    )
  }

  it.scopedLive("that splices two sessions: refuses and exits 1", () =>
    Effect.gen(function* () {
      const { connect, connections, liar, outcome } = yield* setUp
      let recorded: string | undefined
      liar.toClient = (message) => {
        if (typeof message === "string" && message.includes('"wg-pubkey"')) recorded ??= message
        return [typeof message === "string" && message.includes('"wg-pubkey"') ? (recorded ?? message) : message]
      }
      yield* Effect.scoped(connect)
      const ended = yield* outcome
      assert.strictEqual(ended.code, 1, ended.stderr)
      assert.match(ended.stderr, /hung up|did not prove/)
      assert.strictEqual(connections(), 0)
    })
  )

  const meddling: ReadonlyArray<readonly [string, LyingHub.Lie]> = [
    ["repeats a record", (message) => (typeOf(message) === RECORD ? [message, message] : [message])],
    ["flips a bit of a record", (message) => [typeOf(message) === RECORD ? flip(message, 20) : message]]
  ]
  for (const [what, lie] of meddling) {
    it.scopedLive(`that ${what}: ends the session, resets its connections, says why, exits 1`, () =>
      Effect.gen(function* () {
        const { connect, liar } = yield* setUp
        const client = yield* connect
        const socket = yield* Sockets.open(client.port("echo"))
        yield* Sockets.write(socket, Buffer.from("before"))
        assert.strictEqual((yield* Sockets.read(socket, 6)).toString(), "before")
        liar.toClient = lie
        const closing = yield* Effect.fork(Sockets.closeOf(socket))
        yield* Sockets.write(socket, Buffer.from("after"))
        const ended = yield* client.program.ended
        assert.strictEqual(ended.code, 1)
        assert.match(client.program.output("stderr"), /meddled with.*not authentic/)
        assert.strictEqual(yield* closing, "reset")
      })
    )
  }

  it.scopedLive("a recorded handshake, played to the agent in a session of its own, opens nothing", () =>
    Effect.gen(function* () {
      const { connect, connections, liar, world } = yield* setUp
      const recorded: Array<LyingHub.Message> = []
      liar.toHub = (message) => {
        recorded.push(message)
        return [message]
      }
      const client = yield* connect
      const socket = yield* Sockets.open(client.port("echo"))
      yield* Sockets.write(socket, Buffer.from("x"))
      yield* Sockets.read(socket, 1)
      yield* client.program.end("SIGINT")
      assert.strictEqual(connections(), 1)

      const mark = world.agent.mark("stderr")
      const replay = new WebSocket(world.hub.url)
      yield* Effect.async<void>((resume) => {
        const [said, ...frames] = recorded
        replay.on("open", () => replay.send(said ?? ""))
        replay.on("message", (data: Buffer) => {
          if (!data.toString().includes('"wg-pubkey"')) return
          for (const frame of frames) replay.send(frame)
        })
        replay.on("close", () => resume(Effect.void))
      })
      yield* world.agent.expect(/does not fit this session/, { on: "stderr", from: mark })
      assert.strictEqual(connections(), 1)
    })
  )
})
