import * as Effect from "effect/Effect"
import type { StreamReset } from "../../src/protocol/StreamReset.ts"
import type { ByteStream } from "../../src/transport/ByteStream.ts"
import * as Conditions from "./Conditions.ts"

/** What one end of a stream was delivered. */
export interface Collected {
  readonly chunks: Array<Uint8Array>
  bytes: number
  drains: number
  /** The peer has finished. */
  readonly ended: Effect.Effect<void>
  /** Both directions are over. */
  readonly closed: Effect.Effect<StreamReset | undefined>
  readonly until: (bytes: number) => Effect.Effect<void>
  /** Waits until more than so many drains were asked for. */
  readonly drained: (before: number) => Effect.Effect<void>
}

/** Attaches to a stream and keeps all that it delivers. */
export const collect = (stream: ByteStream): Collected => {
  const { changed, when } = Conditions.make()
  let end = false
  let over = false
  let why: StreamReset | undefined
  const collected: Collected = {
    chunks: [],
    bytes: 0,
    drains: 0,
    ended: when(() => end),
    closed: Effect.map(
      when(() => over),
      () => why
    ),
    until: (bytes) => when(() => collected.bytes >= bytes),
    drained: (before) => when(() => collected.drains > before)
  }
  stream.attach({
    data: (chunk) => {
      collected.chunks.push(chunk)
      collected.bytes += chunk.length
      changed()
    },
    end: () => {
      end = true
      changed()
    },
    drain: () => {
      collected.drains++
      changed()
    },
    closed: (reset) => {
      over = true
      why = reset
      changed()
    }
  })
  return collected
}
