/** The next control message of a socket that is not paired, where every message has to be one (spec: wire 1.2). */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { decodeFirst } from "../../protocol/Control.ts"
import type { Decode, FirstMessage } from "../../protocol/Control.ts"
import { UNAUTHENTICATED_MESSAGE_BYTES, UNAUTHENTICATED_MESSAGES } from "../../protocol/Limits.ts"
import type { CarrierClosed } from "../../transport/Carrier.ts"
import type { Inbox } from "../../transport/Inbox.ts"
import { notControl, refusedStranger } from "../Refused.ts"
import type { Refused } from "../Refused.ts"

const next = <A>(
  inbox: Inbox,
  decode: Decode<A>,
  check: (text: string) => Refused | undefined
): Effect.Effect<A, Refused | CarrierClosed> =>
  Effect.flatMap(inbox.take, (message): Effect.Effect<A, Refused | CarrierClosed> => {
    if (message._tag === "Binary") return notControl()
    const refusal = check(message.text)
    if (refusal !== undefined) return refusal
    return Either.match(decode(message.text), {
      onLeft: (problem) => (problem._tag === "UnknownType" ? next(inbox, decode, check) : notControl()),
      onRight: Effect.succeed
    })
  })

/** The next message that `decode` knows; others are skipped. */
export const nextMessage = <A>(inbox: Inbox, decode: Decode<A>): Effect.Effect<A, Refused | CarrierClosed> =>
  next(inbox, decode, () => undefined)

/** The message with which a stranger says what it is, among UNAUTHENTICATED_MESSAGES that hold UNAUTHENTICATED_MESSAGE_BYTES. */
export const firstMessage = (inbox: Inbox): Effect.Effect<FirstMessage, Refused | CarrierClosed> =>
  Effect.suspend(() => {
    let messages = 0
    let bytes = 0
    return next(inbox, decodeFirst, (text) => {
      messages += 1
      bytes += Buffer.byteLength(text)
      return messages > UNAUTHENTICATED_MESSAGES || bytes > UNAUTHENTICATED_MESSAGE_BYTES
        ? refusedStranger("too much was said before register, connect or session-join")
        : undefined
    })
  })
