/**
 * A refusal as peers of every version understand it: an error message, then a close frame with the same text (spec: wire
 * 1.5). What cannot even be read as a control message is only closed.
 */
import * as Data from "effect/Data"
import { CloseCode, Refusal } from "../protocol/Close.ts"
import { encode } from "../protocol/Control.ts"
import type { CarrierReceiver } from "../transport/Carrier.ts"
import type { Inbox } from "../transport/Inbox.ts"

/** What the peer is told, and, when that says more than the peer may know, the reason for the hub's own log. */
export class Refused extends Data.TaggedError("Refused")<{
  readonly code: number
  readonly text: string
  readonly because?: string
  /** The peer has not shown that it is anybody: what such a one is told is no news, and must not fill the log. */
  readonly stranger: boolean
  /** When to ask again, in milliseconds, if the refusal is for now only. */
  readonly retryIn?: number
}> {}

/** Refused on the merits; the peer has a token that the hub knows, or a session's id. */
export const refused = (text: string, because?: string): Refused =>
  new Refused({ code: CloseCode.policy, text, stranger: false, ...(because !== undefined && { because }) })

/** Refused for now: whoever asks again in so many milliseconds may have more luck. */
export const refusedForNow = (text: string, retryIn: number, because?: string): Refused =>
  new Refused({ code: CloseCode.policy, text, stranger: false, retryIn, ...(because !== undefined && { because }) })

/** Refused because the hub is about to stop, whoever it is. */
export const refusedByDraining = (retryIn: number): Refused =>
  new Refused({ code: CloseCode.restart, text: Refusal.draining, stranger: true, retryIn })

/** Refused on the merits, and nobody known. */
export const refusedStranger = (text: string): Refused => new Refused({ code: CloseCode.policy, text, stranger: true })

/** Said something that is no control message. */
export const notControl = (): Refused =>
  new Refused({ code: CloseCode.protocolError, text: Refusal.expectedJson, stranger: true })

/** A text for an agent. Deployed ones stop for good on these words, wherever they stand: in an identity's name, too. */
export const withoutStopWords = (text: string): string => text.replace(/access denied|invalid token/gi, "refused")

const deaf: CarrierReceiver = { binary: () => {}, text: () => {}, drain: () => {}, closed: () => {} }

/** Tells the peer, and lets it go: whatever else it sends is dropped, and CLOSE_TIMEOUT ends it if it does not. */
export const turnAway = (inbox: Inbox, { code, retryIn, text }: Refused): void => {
  const hint = retryIn !== undefined && { retryIn }
  if (code !== CloseCode.protocolError) inbox.carrier.sendText(encode({ type: "error", message: text, ...hint }))
  inbox.handOver(deaf)
  inbox.carrier.close(code, text)
}
