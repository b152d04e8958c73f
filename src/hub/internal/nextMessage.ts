/** The next control message of a socket that is not paired, where every message has to be one (spec: wire 1.2). */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { decode } from "../../protocol/Control.ts"
import type { ControlMessage } from "../../protocol/Control.ts"
import type { CarrierClosed } from "../../transport/Carrier.ts"
import type { Inbox } from "../../transport/Inbox.ts"
import { notControl } from "../Refused.ts"
import type { Refused } from "../Refused.ts"

/** Messages of a type that nobody knows are skipped. */
export const nextMessage = (inbox: Inbox): Effect.Effect<ControlMessage, Refused | CarrierClosed> =>
  Effect.flatMap(inbox.take, (message): Effect.Effect<ControlMessage, Refused | CarrierClosed> => {
    if (message._tag === "Binary") return notControl()
    return Either.match(decode(message.text), {
      onLeft: (problem) => (problem._tag === "UnknownType" ? nextMessage(inbox) : notControl()),
      onRight: Effect.succeed
    })
  })
