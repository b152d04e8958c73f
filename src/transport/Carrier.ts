/**
 * A carrier moves whole messages, text or binary, reliably and in order, between two programs: a WebSocket, or its
 * in-memory twin. It is the only thing the hub's relay joins and the only thing the tunnel stands on. Plain calls and
 * callbacks: no Effect runs for a message.
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/**
 * How a carrier ended. 1006 is a peer that vanished (RFC 6455, section 7.4.1); a reason with it is a sentence of ours, for
 * no close frame came.
 */
export class CarrierClosed extends Schema.TaggedError<CarrierClosed>()("CarrierClosed", {
  code: Schema.Number,
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason === "" ? `connection closed (code ${this.code})` : this.reason
  }
}

/** Who gets what arrives on a carrier. A message belongs to the receiver from the call on. */
export interface CarrierReceiver {
  readonly binary: (message: Uint8Array) => void
  readonly text: (message: string) => void
  /** After a `send` that returned false: there is room again. */
  readonly drain: () => void
  /** Once, as the last call. */
  readonly closed: (how: CarrierClosed) => void
}

/** Nothing is delivered before `receive`, and, but for what one socket read had already brought, nothing while paused. */
export interface Carrier {
  /** The address of the other end, for limits and logs. */
  readonly peer: string
  /** Bytes taken but not yet given to the operating system, with PIECE_BYTES for each of the writes they wait in. */
  readonly buffered: number
  readonly isClosed: boolean
  /** Takes the message in any case; false, at CARRIER_HIGH_WATER, asks the sender to wait for `drain`. Ignored once closed. */
  send(message: Uint8Array): boolean
  sendText(message: string): boolean
  /** Names who receives from now on, in place of whoever did before. A carrier that is already closed says so at once. */
  receive(receiver: CarrierReceiver): void
  pause(): void
  resume(): void
  /**
   * Says goodbye, and destroys the connection after CLOSE_TIMEOUT if the peer does not answer; one that was dialled, and on
   * which something moved in that time, after LEAVE_MOST.
   */
  close(code: number, reason: string): void
  /**
   * Says goodbye to a peer that may not be here any more, and resets the connection after REVOKED_RESET: what has not
   * reached the peer by then never does.
   */
  revoke(code: number, reason: string): void
  /** Destroys the connection. */
  terminate(): void
}

/** Opens a carrier to a hub, closed with the scope; what differs between the network and a test is only this. */
export type Dial = (url: string) => Effect.Effect<Carrier, DialError, Scope.Scope>

/** A hub that could not be reached, with a sentence that says what to check. */
export class DialError extends Schema.TaggedError<DialError>()("DialError", {
  url: Schema.String,
  reason: Schema.String,
  /** Whether somebody answered who is not the pinned hub, or may not be: no other try can help. */
  untrusted: Schema.optional(Schema.Boolean)
}) {
  override get message(): string {
    return `cannot reach ${this.url}: ${this.reason}`
  }
}
