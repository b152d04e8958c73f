/**
 * One TCP-like byte stream, whatever carries it: a socket, or a stream of the tunnel. Both directions end on their own
 * (`end`), or together and at once (`reset`). Callbacks and plain calls, because this is the way of every byte: no
 * Effect runs for a chunk. {@link splice} joins two of them.
 */
import * as Effect from "effect/Effect"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"

/** Who gets what happens on a stream. A chunk belongs to the receiver from the call on. */
export interface ByteStreamHandlers {
  readonly data: (chunk: Uint8Array) => void
  /** The other side will send no more. */
  readonly end: () => void
  /** After a `write` that returned false: there is room again. */
  readonly drain: () => void
  /** Once, after everything else: both directions are over; cleanly when `reset` is undefined. */
  readonly closed: (reset: StreamReset | undefined) => void
}

/** A byte stream that delivers nothing before `attach`, and nothing between `pause` and `resume`. */
export interface ByteStream {
  /** Takes the chunk in any case; false asks the writer to wait for `drain`. */
  write(chunk: Uint8Array): boolean
  /** Nothing more will be written. */
  end(): void
  /** Ends both directions at once and drops what is queued. Does nothing on a closed stream. */
  reset(reason: StreamReset): void
  pause(): void
  resume(): void
  /** Called once. */
  attach(handlers: ByteStreamHandlers): void
}

/** What passed through a splice, from its first argument's point of view, and how it ended. */
export interface Spliced {
  readonly sent: number
  readonly received: number
  readonly reset: StreamReset | undefined
}

/**
 * Joins two streams until both are closed: bytes, ends and resets pass both ways, and a slow reader pauses its writer.
 * Interrupting it resets both with `cancelled`.
 */
export const splice = (a: ByteStream, b: ByteStream): Effect.Effect<Spliced> =>
  Effect.async<Spliced>((resume) => {
    let sent = 0
    let received = 0
    let open = 2
    let reset: StreamReset | undefined
    const join = (from: ByteStream, to: ByteStream, count: (bytes: number) => void): ByteStreamHandlers => ({
      data: (chunk) => {
        count(chunk.length)
        if (!to.write(chunk)) from.pause()
      },
      end: () => to.end(),
      drain: () => to.resume(),
      closed: (why) => {
        if (why !== undefined) {
          reset ??= why
          to.reset(why)
        }
        if (--open === 0) resume(Effect.succeed({ sent, received, reset }))
      }
    })
    a.attach(join(a, b, (bytes) => (sent += bytes)))
    b.attach(join(b, a, (bytes) => (received += bytes)))
    return Effect.sync(() => {
      const why = new StreamReset({ code: ResetCode.cancelled, reason: "closed by this program" })
      a.reset(why)
      b.reset(why)
    })
  })
