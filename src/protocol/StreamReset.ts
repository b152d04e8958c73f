/**
 * Why one TCP stream through the tunnel ended other than by both sides finishing. Travels in a reset frame as code and
 * text (docs/protocol.md, "Frames"); the text is for people and logs.
 */
import * as Schema from "effect/Schema"

export const ResetCode = {
  /** The local program closed or reset its connection. */
  cancelled: 1,
  /** The service refused the connection. */
  refused: 2,
  /** The service's host could not be reached or found. */
  unreachable: 3,
  /** The service did not answer the connection attempt in time. */
  timeout: 4,
  /** The agent does not expose this, or this session may not use it. */
  denied: 5,
  /** A bound was reached (streams a link). */
  busy: 6,
  /** The peer broke the rules of the protocol. */
  protocol: 7,
  /** The link under the stream was lost. */
  lost: 8
} as const

export type ResetCode = (typeof ResetCode)[keyof typeof ResetCode]

/** A stream that was refused, or ended by a reset in either direction. */
export class StreamReset extends Schema.TaggedError<StreamReset>()("StreamReset", {
  code: Schema.Number,
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}
