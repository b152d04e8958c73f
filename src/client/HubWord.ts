/**
 * What a hub says on a client's socket besides setting up: that the session may not be any more, and that the hub is about
 * to stop. Our hub begins the first with "access revoked", at any moment between the request and the end; a deployed one
 * says "invalid token" (spec: wire 1.5), which before the session stood is only a token that is wrong. The second says no
 * more than a lost connection would, so that it does no harm when somebody forges it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { CloseCode } from "../protocol/Close.ts"
import * as Control from "../protocol/Control.ts"
import { printable } from "../protocol/Printable.ts"
import type { Inbox } from "../transport/Inbox.ts"

/** Who acts on it; called before anybody else sees what says so. */
export interface HubListener {
  /** The reason is what a person is told. */
  readonly revoked: (reason: string) => void
  /** The hub wants to be asked again in so many milliseconds; the socket still stands. */
  readonly draining: (retryIn: number) => void
}

const ours = /^access revoked(: *)?/i
const deployed = /invalid token/i

/** What a person is told, if a text of the hub says so: "access revoked", and the rule. */
const reasonIn = (text: string, stands: boolean): string | undefined => {
  if (!ours.test(text) && !(stands && deployed.test(text))) return undefined
  // Both stand before the rule, so that programs of either kind understand.
  const rule = text.replace(ours, "").replace(/^invalid token(: *)?/i, "")
  return `access revoked: ${printable(rule) || "the hub no longer takes the token"}`
}

/** The same inbox, whoever takes its messages or its carrier. */
export const listen = (inbox: Inbox, listener: HubListener): Inbox => {
  const hear = (text: string, stands: boolean) => {
    const reason = reasonIn(text, stands)
    if (reason !== undefined) listener.revoked(reason)
  }
  const hearMessage = (message: string, stands: boolean) => {
    const decoded = Control.decode(message)
    if (Either.isLeft(decoded)) return
    if (decoded.right.type === "error") hear(decoded.right.message, stands)
    else if (decoded.right.type === "drain") listener.draining(decoded.right.retryIn)
  }
  return {
    ...inbox,
    take: inbox.take.pipe(
      Effect.tap((message) => {
        if (message._tag === "Text") hearMessage(message.text, false)
        return Effect.void
      }),
      Effect.tapError(({ code, reason }) => {
        if (code === CloseCode.policy) hear(reason, false)
        return Effect.void
      })
    ),
    handOver: (receiver) =>
      inbox.handOver({
        ...receiver,
        text: (text) => {
          hearMessage(text, true)
          receiver.text(text)
        },
        closed: (how) => {
          if (how.code === CloseCode.policy) hear(how.reason, true)
          receiver.closed(how)
        }
      })
  }
}
