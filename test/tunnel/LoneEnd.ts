/** An agent's end of a link whose client a test is: it says what it wants when it wants, and acknowledges when it is told to. */
import { LINK_STREAMS } from "../../src/protocol/Limits.ts"
import type { ByteStream } from "../../src/transport/ByteStream.ts"
import * as Frames from "../../src/tunnel/Frames.ts"
import type { KeepAccount } from "../../src/tunnel/KeepBudget.ts"
import { Link } from "../../src/tunnel/Link.ts"
import { Mux } from "../../src/tunnel/Mux.ts"
import type { ChannelReceiver, SecureChannel } from "../../src/tunnel/SecureChannel.ts"
import { TunnelClosed } from "../../src/tunnel/Tunnel.ts"

export interface LoneEnd {
  readonly mux: Mux
  /** What the client has opened, in order. */
  readonly streams: ReadonlyArray<ByteStream>
  /** What this end has sent: link headers, and how many bytes of frames followed. */
  readonly records: ReadonlyArray<Frames.Positions & { readonly frames: number }>
  /** How the link ended its channel. */
  readonly closed: () => TunnelClosed | undefined
  /** Opens so many streams with this credit; the first has number 1. */
  readonly open: (streams: number, credit: number) => void
  /** Gives each of them credit by its place in {@link streams}. */
  readonly credit: (limit: (index: number) => number) => void
  readonly data: (index: number, bytes: Uint8Array) => void
  /** Says anything, in one record. */
  readonly say: (frames: ReadonlyArray<Buffer>) => void
  /** Acknowledges all that was sent until then, or the next record of it. */
  readonly acknowledge: (what?: "all" | "next") => void
  readonly lose: () => void
}

export const make = (options: { readonly account?: KeepAccount | undefined; readonly now?: () => number }): LoneEnd => {
  const { account, now = () => performance.now() } = options
  const streams: Array<ByteStream> = []
  const records: Array<Frames.Positions & { readonly frames: number }> = []
  let receiver: ChannelReceiver | undefined
  let closed: TunnelClosed | undefined
  let received = 0
  /** Where each record ended. */
  const ends: Array<number> = []
  let sent = 0
  const channel: SecureChannel = {
    receive: (next) => (receiver = next),
    send: (parts, size) => {
      const record = Buffer.concat(parts)
      received += Frames.walk(record, () => {}) ?? 0
      ends.push(received)
      records.push({ ...Frames.positions(record), frames: size - Frames.LINK_HEADER_BYTES })
      return true
    },
    buffered: 0,
    close: (how) => {
      closed = how
      receiver?.closed(how)
    }
  }
  const mux = new Mux({
    initiator: false,
    link: (source) => new Link({ source, now, account }),
    incoming: (incoming) => {
      const stream = incoming.accept()
      stream.attach({ data: () => {}, end: () => {}, drain: () => {}, closed: () => {} })
      streams.push(stream)
    },
    detached: () => {},
    attached: () => {},
    closed: () => {}
  })
  mux.link.attach(channel)
  let acknowledged = 0
  const say = (frames: ReadonlyArray<Buffer>) => {
    const header = Buffer.alloc(Frames.LINK_HEADER_BYTES)
    Frames.writeUint64(header, sent, 0)
    Frames.writeUint64(header, acknowledged, 8)
    for (const frame of frames) if (Frames.isPositioned(frame.readUInt8(0))) sent += frame.length
    receiver?.record(Buffer.concat([header, ...frames]))
  }
  const idOf = (index: number) => 2 * index + 1
  const each = (count: number) => Array.from({ length: Math.min(count, LINK_STREAMS) }, (_, index) => index)
  return {
    mux,
    streams,
    records,
    closed: () => closed,
    open: (count, credit) => {
      const asked = Buffer.from(JSON.stringify({ port: 7, credit }))
      say(each(count).map((index) => Frames.frame(Frames.Type.open, idOf(index), asked)))
    },
    credit: (limit) => say(each(streams.length).map((index) => Frames.credit(idOf(index), limit(index)))),
    say,
    data: (index, bytes) => say([Frames.frame(Frames.Type.data, idOf(index), bytes)]),
    acknowledge: (what = "all") => {
      acknowledged = what === "all" ? received : (ends.find((end) => end > acknowledged) ?? acknowledged)
      say([])
    },
    lose: () => receiver?.closed(new TunnelClosed({ kind: "lost", reason: "a cut" }))
  }
}
