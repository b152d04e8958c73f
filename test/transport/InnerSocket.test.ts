import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ResetCode, StreamReset } from "../../src/protocol/StreamReset.ts"
import { SOCKET_SEND_QUEUE } from "../../src/protocol/Limits.ts"
import type { ByteStream } from "../../src/transport/ByteStream.ts"
import * as InnerSocket from "../../src/transport/InnerSocket.ts"
import { turn } from "../support/turn.ts"

/** Takes note of everything that the stream's end is told. */
const listen = (stream: ByteStream) => {
  const told: Array<string> = []
  stream.attach({
    data: (chunk) => told.push(`data ${Buffer.from(chunk).toString()}`),
    end: () => told.push("end"),
    drain: () => told.push("drain"),
    closed: (reset) => told.push(`closed ${reset?.reason ?? "cleanly"}`)
  })
  return told
}

const turns = Effect.repeatN(turn, 3)

describe("InnerSocket", () => {
  it.live("carries bytes both ways, and each end on its own", () =>
    Effect.gen(function* () {
      const { socket, stream } = InnerSocket.make()
      const told = listen(stream)
      const read: Array<string> = []
      socket.on("data", (chunk: Buffer) => read.push(chunk.toString())).on("end", () => read.push("end"))
      stream.write(Buffer.from("ping"))
      stream.end()
      yield* turns
      assert.deepStrictEqual(read, ["ping", "end"])
      assert.isFalse(socket.destroyed)
      socket.end("pong")
      yield* turns
      assert.deepStrictEqual(told, ["data pong", "end", "closed cleanly"])
    })
  )

  it.live("delivers nothing before somebody attaches, and nothing while paused", () =>
    Effect.gen(function* () {
      const { socket, stream } = InnerSocket.make()
      socket.write("a")
      socket.end("b")
      stream.pause()
      yield* turns
      const told = listen(stream)
      yield* turns
      assert.deepStrictEqual(told, [])
      stream.resume()
      stream.end()
      socket.resume()
      yield* turns
      assert.deepStrictEqual(told, ["data a", "data b", "end", "closed cleanly"])
    })
  )

  it.live("a paused stream makes its writer wait", () =>
    Effect.gen(function* () {
      const { socket, stream } = InnerSocket.make()
      listen(stream)
      stream.pause()
      const chunk = Buffer.alloc(1024)
      let written = 0
      do written += chunk.length
      while (socket.write(chunk))
      assert.isAtMost(written, SOCKET_SEND_QUEUE + chunk.length)
      let isDrained = false
      socket.once("drain", () => {
        isDrained = true
      })
      yield* turns
      assert.isFalse(isDrained)
      stream.resume()
      yield* turns
      assert.isTrue(isDrained)
    })
  )

  it.live("a socket that is not read makes the stream's writer wait, and tells when there is room", () =>
    Effect.gen(function* () {
      const { socket, stream } = InnerSocket.make()
      const told = listen(stream)
      let written = 0
      while (stream.write(Buffer.alloc(1024))) written += 1024
      assert.isAtMost(written, SOCKET_SEND_QUEUE)
      yield* turns
      assert.deepStrictEqual(told, [])
      socket.resume()
      yield* turns
      assert.deepStrictEqual(told, ["drain"])
    })
  )

  it.live("a reset of the stream ends the socket with its reason", () =>
    Effect.gen(function* () {
      const { socket, stream } = InnerSocket.make()
      const told = listen(stream)
      stream.reset(new StreamReset({ code: ResetCode.lost, reason: "the link was lost" }))
      stream.reset(new StreamReset({ code: ResetCode.lost, reason: "again" }))
      yield* turns
      assert.strictEqual(socket.errored?.message, "the link was lost")
      assert.deepStrictEqual(told, ["closed the link was lost"])
      assert.isTrue(stream.write(Buffer.from("late")))
    })
  )

  it.live("a socket that is destroyed before its end is a reset", () =>
    Effect.gen(function* () {
      const { socket, stream } = InnerSocket.make()
      const told = listen(stream)
      socket.write("half")
      socket.destroy()
      yield* turns
      assert.deepStrictEqual(told, ["data half", "closed closed before its end"])
      const other = InnerSocket.make()
      other.socket.destroy(new Error("broken"))
      yield* turns
      assert.deepStrictEqual(listen(other.stream), ["closed broken"])
    })
  )

  it.live("destroySoon sends what is written and its end; what comes after that is dropped", () =>
    Effect.gen(function* () {
      const { socket, stream } = InnerSocket.make()
      const told = listen(stream)
      stream.pause()
      socket.write("last")
      socket.destroySoon()
      yield* turns
      assert.isFalse(socket.destroyed)
      stream.resume()
      yield* turns
      assert.deepStrictEqual(told, ["data last", "end", "closed cleanly"])
      assert.isTrue(socket.destroyed)
      for (let i = 0; i < 100; i++) assert.isTrue(stream.write(Buffer.alloc(1024)))
    })
  )
})
