/**
 * What a session host needs of a tunnel, whatever the protocol inside: streams opened, streams accepted, and the end.
 * stream/1 ({@link file://./Stream1.ts}) is one implementation; a WireGuard data plane would be another.
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { StreamReset } from "../protocol/StreamReset.ts"
import type { ByteStream } from "../transport/ByteStream.ts"

/** What a stream is to reach on the other end: a port, or a service by its name. */
export type Target = { readonly port: number } | { readonly service: string }

/** A stream that the peer asks for. Exactly one of the two is to be called. */
export interface Incoming {
  readonly target: Target
  readonly accept: () => ByteStream
  readonly refuse: (reset: StreamReset) => void
}

/**
 * The tunnel is over: what happened, in a sentence. `lost` is a connection that went away, `closed` an end that one side
 * asked for, `tampered` bytes that nobody with the keys has sent, or a peer that breaks the protocol, `revoked` a right that
 * has ended: neither is ever to be retried.
 */
export class TunnelClosed extends Schema.TaggedError<TunnelClosed>()("TunnelClosed", {
  kind: Schema.Literal("lost", "closed", "tampered", "revoked"),
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

/**
 * The tunnel did not come up. `forged`: a handshake that is not authentic, never to be retried; `refused`: the peer may not
 * be here; `lost`: the connection ended, or the time, before the handshake was done.
 */
export class TunnelRefused extends Schema.TaggedError<TunnelRefused>()("TunnelRefused", {
  kind: Schema.Literal("forged", "refused", "lost"),
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

/** How much a tunnel holds at this moment, in bytes; for the test kit and metrics. */
export interface TunnelHeld {
  /** Taken from local writers, not yet in a record. */
  readonly unsent: number
  /** In the carrier, not yet with the operating system. */
  readonly carrier: number
  /** Sent, and kept until the peer has acknowledged it. */
  readonly kept: number
  /** Received, not yet taken by local readers. */
  readonly undelivered: number
  readonly streams: number
}

/** What a tunnel that is not there holds. */
export const heldNothing: TunnelHeld = { unsent: 0, carrier: 0, kept: 0, undelivered: 0, streams: 0 }

export interface Tunnel {
  /** Opens a stream; done when the peer has accepted, which it does when it has reached the target. */
  readonly open: (target: Target) => Effect.Effect<ByteStream, StreamReset>
  /** The next stream that the peer asks for. At most LINK_STREAMS wait; further ones are refused as busy. */
  readonly accept: Effect.Effect<Incoming, TunnelClosed>
  /**
   * Waits until it has no carrier, and says why; at once, when it has none now. Streams stand still then, until it goes on
   * in another one or is over. A tunnel that cannot go on never says it.
   */
  readonly detached: Effect.Effect<TunnelClosed>
  /** Waits until it has a carrier; at once, when it has one. */
  readonly attached: Effect.Effect<void>
  readonly isAttached: () => boolean
  /** Waits for the end. Streams have been reset by then; what a peer had finished before may still be delivered. */
  readonly closed: Effect.Effect<TunnelClosed>
  /** Tells the peer that the tunnel ends and why, then ends it. */
  readonly close: (reason: string) => void
  /** Ends it because nobody came back: as `close`, but the peer hears nothing, and what it had finished is delivered. */
  readonly abandon: (reason: string) => void
  /** Ends it because it may not be any more: every stream is reset during this call, and nothing is delivered after it. */
  readonly revoke: (reason: string) => void
  readonly held: () => TunnelHeld
}
