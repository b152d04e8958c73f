/**
 * The hub's last word on a session: that it may not be any more. Our hub begins it with "access revoked", at any moment
 * between the request and the end; a deployed one says "invalid token" (spec: wire 1.5), which before the session stood is
 * only a token that is wrong.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { CloseCode } from "../protocol/Close.ts"
import * as Control from "../protocol/Control.ts"
import { printable } from "../protocol/Printable.ts"
import type { Inbox } from "../transport/Inbox.ts"

const ours = /^access revoked(: *)?/i
const deployed = /invalid token/i

/** What a person is told, if a text of the hub says so: "access revoked", and the rule. */
const reasonIn = (text: string, stands: boolean): string | undefined => {
  if (!ours.test(text) && !(stands && deployed.test(text))) return undefined
  // Both stand before the rule, so that programs of either kind understand.
  const rule = text.replace(ours, "").replace(/^invalid token(: *)?/i, "")
  return `access revoked: ${printable(rule) || "the hub no longer takes the token"}`
}

/** The text of an error message; empty for every other message. */
const errorIn = (message: string): string =>
  Either.match(Control.decode(message), {
    onLeft: () => "",
    onRight: (control) => (control.type === "error" ? control.message : "")
  })

/** The same inbox, whoever takes its messages or its carrier; calls `revoked` before they see what says so. */
export const listen = (inbox: Inbox, revoked: (reason: string) => void): Inbox => {
  const hear = (text: string, stands: boolean) => {
    const reason = reasonIn(text, stands)
    if (reason !== undefined) revoked(reason)
  }
  return {
    ...inbox,
    take: inbox.take.pipe(
      Effect.tap((message) => {
        if (message._tag === "Text") hear(errorIn(message.text), false)
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
          hear(errorIn(text), true)
          receiver.text(text)
        },
        closed: (how) => {
          if (how.code === CloseCode.policy) hear(how.reason, true)
          receiver.closed(how)
        }
      })
  }
}
