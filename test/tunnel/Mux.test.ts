import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import { generate } from "../../src/crypto/KeyPair.ts"
import * as Noise from "../../src/crypto/Noise.ts"
import { LINK_STREAMS, LINK_WINDOW_BULK, LINK_WINDOW_SPARSE } from "../../src/protocol/Limits.ts"
import { ResetCode, StreamReset } from "../../src/protocol/StreamReset.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import { ChunkQueue } from "../../src/tunnel/ChunkQueue.ts"
import * as Frames from "../../src/tunnel/Frames.ts"
import { Link } from "../../src/tunnel/Link.ts"
import { Mux } from "../../src/tunnel/Mux.ts"
import * as SecureChannel from "../../src/tunnel/SecureChannel.ts"
import type { Incoming, TunnelClosed } from "../../src/tunnel/Tunnel.ts"
import { collect } from "../support/collect.ts"

/** A mux on one end, and on the other a peer that holds the keys and says what it likes. */
const withPeer = () => {
  const identity = generate()
  const prologue = Buffer.from("test")
  const initiator = Noise.initiate({ prologue, identity: generate() }, identity.publicKey, Buffer.alloc(0))
  const answer = Noise.respond({ prologue, identity }, initiator.first).answer(Buffer.alloc(0))
  const { transport } = initiator.finish(answer.second)
  const [left, right] = MemoryCarrier.pair()
  const incoming: Array<Incoming> = []
  const lives: Array<number> = []
  let resolve: (how: TunnelClosed) => void
  const closed = new Promise<TunnelClosed>((done) => (resolve = done))
  const mux = new Mux({
    initiator: false,
    incoming: (stream) => incoming.push(stream),
    closed: (how) => resolve(how),
    attached: () => {},
    detached: () => {},
    link: (source) => new Link({ source, now: () => 0 })
  })
  const ours = SecureChannel.make({
    carrier: right,
    transport: answer.transport,
    sender: 1,
    takeOver: (taker) => right.receive(taker)
  })
  mux.link.attach(ours, undefined, () => lives.push(1))
  let sequence = 0
  const received: Array<{ readonly type: number; readonly stream: number; readonly payload: Buffer }> = []
  let acknowledged = 0
  const channel = SecureChannel.make({
    carrier: left,
    transport,
    sender: 2,
    takeOver: (taker) => left.receive(taker)
  })
  channel.receive({
    record: (record) => {
      const positioned = Frames.walk(record, (type, stream, payload) => received.push({ type, stream, payload }))
      acknowledged += positioned ?? 0
    },
    drain: () => {},
    closed: () => {}
  })
  /** Sends one record with these frames; `header` may lie. */
  const say = (
    frames: ReadonlyArray<Buffer>,
    header?: { readonly sequence?: number; readonly acknowledged?: number }
  ) => {
    const head = Buffer.alloc(Frames.LINK_HEADER_BYTES)
    Frames.writeUint64(head, header?.sequence ?? sequence, 0)
    Frames.writeUint64(head, header?.acknowledged ?? acknowledged, 8)
    const body = Buffer.concat(frames)
    sequence += Frames.walk(Buffer.concat([head, body]), () => {}) ?? 0
    channel.send([head, body], head.length + body.length)
  }
  const open = (id: number, map: object = { port: 22, credit: 1_000 }) =>
    Frames.frame(Frames.Type.open, id, Buffer.from(JSON.stringify(map)))
  const settle = async () => {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve()
  }
  return { mux, incoming, lives, closed, received, say, open, settle, left }
}

const byte = (stream: number, value: number) => Frames.frame(Frames.Type.data, stream, Buffer.of(value))

describe("Mux against a peer that holds the keys", () => {
  const violations: ReadonlyArray<readonly [string, (peer: ReturnType<typeof withPeer>) => void, string]> = [
    ["a record without a header", (peer) => peer.say([], { sequence: 5 }), "gap"],
    ["an acknowledgement of what was never sent", (peer) => peer.say([], { acknowledged: 99 }), "never sent"],
    ["a frame that is cut short", (peer) => peer.say([Buffer.of(3, 0, 0, 0, 1, 0, 0, 9, 1)]), "cut short"],
    ["half a frame header", (peer) => peer.say([Buffer.of(3, 0, 0)]), "cut short"],
    ["an even stream number", (peer) => peer.say([peer.open(2)]), "out of turn"],
    ["a stream number twice", (peer) => peer.say([peer.open(1), peer.open(1)]), "out of turn"],
    [
      "data without credit",
      (peer) => {
        peer.say([peer.open(1)])
        for (let count = 0; count < 5; count++) {
          peer.say([Frames.frame(Frames.Type.data, 1, Buffer.alloc(65_536))])
        }
      },
      "without credit"
    ],
    [
      "data after its end",
      (peer) => peer.say([peer.open(1), Frames.frame(Frames.Type.fin, 1, Buffer.alloc(0)), byte(1, 1)]),
      "after its end"
    ],
    [
      "a short credit frame",
      (peer) => peer.say([peer.open(1), Frames.frame(Frames.Type.credit, 1, Buffer.alloc(3))]),
      "credit"
    ]
  ]
  for (const [what, act, reason] of violations) {
    it(`ends the tunnel on ${what}`, async () => {
      const peer = withPeer()
      act(peer)
      const how = await peer.closed
      assert.strictEqual(how.kind, "tampered")
      assert.include(how.reason, reason)
      assert.strictEqual(peer.mux.held.streams, 0)
    })
  }

  it("does not count a peer as there whose first record breaks the protocol", async () => {
    const broken = withPeer()
    broken.say([broken.open(2)])
    await broken.closed
    await broken.settle()
    assert.deepStrictEqual(broken.lives, [])
    const peer = withPeer()
    peer.say([peer.open(1)])
    peer.say([peer.open(3)])
    await peer.settle()
    assert.deepStrictEqual(peer.lives, [1])
  })

  it("skips frames it does not know, and frames of streams that are over", async () => {
    const peer = withPeer()
    peer.say([
      Frames.frame(77, 3, Buffer.from("later")),
      Frames.frame(0xf0, 0, Buffer.from("later")),
      byte(999, 1),
      Frames.frame(Frames.Type.fin, 999, Buffer.alloc(0)),
      Frames.credit(999, 1),
      Frames.reset(999, 1, "who"),
      Frames.frame(Frames.Type.accept, 998, Buffer.from("{}")),
      peer.open(1)
    ])
    await peer.settle()
    assert.strictEqual(peer.incoming.length, 1)
  })

  it("refuses an open that names nothing, or is no map, or too long", async () => {
    const peer = withPeer()
    peer.say([
      peer.open(1, { credit: 1 }),
      peer.open(3, { port: 70_000, credit: 1 }),
      Frames.frame(Frames.Type.open, 5, Buffer.from("{")),
      peer.open(7, { port: 22, credit: 1, padding: "x".repeat(5_000) })
    ])
    await peer.settle()
    assert.strictEqual(peer.incoming.length, 0)
    const resets = peer.received.filter((frame) => frame.type === Frames.Type.reset)
    assert.deepStrictEqual(
      resets.map((frame) => [frame.stream, frame.payload[0]]),
      [1, 3, 5, 7].map((id) => [id, ResetCode.protocol])
    )
  })

  it("caps streams, counting those that the peer gave up before they were answered", async () => {
    const peer = withPeer()
    const gone = Buffer.from([])
    for (let count = 0; count <= LINK_STREAMS; count++) {
      const id = 1 + 2 * count
      peer.say([peer.open(id), Frames.frame(Frames.Type.reset, id, gone)])
      await peer.settle()
    }
    assert.strictEqual(peer.incoming.length, LINK_STREAMS)
    const last = peer.received.at(-1)
    assert.strictEqual(last?.type, Frames.Type.reset)
    assert.strictEqual(last?.payload[0], ResetCode.busy)
    // Answering makes room again.
    peer.incoming[0]?.refuse(new StreamReset({ code: ResetCode.denied, reason: "no" }))
    const accepted = peer.incoming[1]?.accept()
    assert(accepted !== undefined)
    assert.isDefined(await Effect.runPromise(collect(accepted).closed))
    peer.say([peer.open(1 + 2 * (LINK_STREAMS + 1))])
    await peer.settle()
    assert.strictEqual(peer.incoming.length, LINK_STREAMS + 1)
  })

  it("takes as many streams as it says, answered or not", async () => {
    const peer = withPeer()
    for (let count = 0; count < LINK_STREAMS; count++) {
      peer.say([peer.open(1 + 2 * count)])
      await peer.settle()
    }
    assert.strictEqual(peer.incoming.length, LINK_STREAMS)
    assert.strictEqual(peer.mux.held.streams, LINK_STREAMS)
    peer.say([peer.open(1 + 2 * LINK_STREAMS)])
    await peer.settle()
    assert.strictEqual(peer.incoming.length, LINK_STREAMS)
  })

  it("gives up on a peer that asks without reading the answers", async () => {
    const peer = withPeer()
    peer.left.pause()
    let over = false
    void peer.closed.then(() => (over = true))
    for (let round = 0; !over; round++) {
      assert.isBelow(round, 200, "the control queue has no bound")
      const ids = Array.from({ length: 500 }, (_, index) => 1 + 2 * (round * 500 + index))
      peer.say(ids.map((id) => peer.open(id, { port: 0, credit: 1 })))
      await peer.settle()
    }
    assert.include((await peer.closed).reason, "without reading")
  })

  it("queues tiny chunks at about what their bytes cost", async () => {
    const peer = withPeer()
    peer.say([peer.open(1)])
    await peer.settle()
    const stream = peer.incoming[0]?.accept()
    assert(stream !== undefined)
    const frames = Array.from({ length: 1_000 }, (_, index) => byte(1, index))
    for (let count = 0; count < 250; count++) {
      peer.say(frames)
      await peer.settle()
    }
    assert.strictEqual(peer.mux.held.undelivered, 250_000)
    const delivered = collect(stream)
    assert.strictEqual(delivered.bytes, 250_000)
    assert.isBelow(delivered.chunks.length, 100)
    assert.isTrue(Buffer.concat(delivered.chunks).every((value, index) => value === ((index % 1_000) & 0xff)))
  })
})

describe("Mux beside a peer that does not acknowledge", () => {
  /** How many data bytes leave when a stream writes these chunks, one a turn, and no acknowledgement comes. */
  const leaving = async (chunks: ReadonlyArray<number>) => {
    const peer = withPeer()
    peer.say([peer.open(1, { port: 22, credit: 1_000_000_000 })])
    await peer.settle()
    const stream = peer.incoming[0]?.accept()
    for (const size of chunks) {
      stream?.write(Buffer.alloc(size))
      await peer.settle()
    }
    return peer.received.reduce((sum, frame) => (frame.type === Frames.Type.data ? sum + frame.payload.length : sum), 0)
  }
  const bulk = Array.from({ length: 100 }, () => 65_536)

  it("sends a bulk window", async () => {
    assert.closeTo(await leaving(bulk), LINK_WINDOW_BULK, 65_536)
  })

  it("sends a small window behind a sparse stream", async () => {
    assert.closeTo(await leaving([100, ...bulk]), LINK_WINDOW_SPARSE, 65_536)
  })

  it("takes no bulk stream for a sparse one because it once had little to send", async () => {
    assert.closeTo(await leaving([65_536, 100, ...bulk]), LINK_WINDOW_BULK, 65_536)
  })
})

describe("ChunkQueue", () => {
  it("gives back the same bytes, whatever is pushed and however it is taken", () => {
    const operations = FastCheck.array(
      FastCheck.oneof(
        FastCheck.record({ push: FastCheck.integer({ min: 0, max: 9_000 }) }),
        FastCheck.record({ take: FastCheck.integer({ min: 1, max: 9_000 }) })
      ),
      { maxLength: 60 }
    )
    FastCheck.assert(
      FastCheck.property(operations, (steps) => {
        const queue = new ChunkQueue()
        let pushed = 0
        let taken = 0
        const check = (chunk: Uint8Array | undefined) => {
          assert.isTrue(chunk?.every((value) => value === (taken++ & 0xff)) ?? true)
        }
        for (const step of steps) {
          if ("push" in step) queue.push(Uint8Array.from({ length: step.push }, () => pushed++ & 0xff))
          else {
            const next = queue.next
            const chunk = queue.take(step.take)
            assert.strictEqual(chunk?.length ?? 0, Math.min(next, step.take))
            check(chunk)
          }
          assert.strictEqual(queue.bytes, pushed - taken)
        }
        while (queue.bytes > 0) check(queue.take(1_000_000))
        assert.strictEqual(taken, pushed)
        assert.isUndefined(queue.take(1))
      })
    )
  })

  it("does not keep a large buffer alive for a small view of it", () => {
    const large = new Uint8Array(1 << 20)
    const queue = new ChunkQueue()
    queue.push(large.subarray(10, 20))
    queue.push(large.subarray(0, 100_000))
    queue.push(large.subarray(0, 900_000))
    assert.isBelow(queue.take(1 << 20)?.buffer.byteLength ?? 0, 10_000)
    assert.strictEqual(queue.take(1 << 20)?.buffer.byteLength, 100_000)
    assert.strictEqual(queue.take(1 << 20)?.buffer, large.buffer)
  })
})
