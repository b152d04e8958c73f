/**
 * One WebSocket of the hub, in one fiber: its first message decides what it is (spec: wire 1.3). A connection that fails
 * touches no other.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Audit } from "../store/Audit.ts"
import type { CarrierClosed } from "../transport/Carrier.ts"
import * as Inbox from "../transport/Inbox.ts"
import type { Accepted } from "../transport/Listener.ts"
import type { Arrivals } from "./Arrivals.ts"
import type { Authority } from "./Authority.ts"
import * as Connecting from "./Connecting.ts"
import type { Directory } from "./Directory.ts"
import type { Drain } from "./Drain.ts"
import type { Enforcement } from "./Enforcement.ts"
import { firstMessage } from "./internal/nextMessage.ts"
import * as Joining from "./Joining.ts"
import type { Management } from "./Management.ts"
import { turnAway } from "./Refused.ts"
import type { Refused } from "./Refused.ts"
import * as Registration from "./Registration.ts"
import type { Sessions } from "./Sessions.ts"

/** What serving a socket takes. */
export type Services = Arrivals | Authority | Directory | Drain | Management | Sessions | Enforcement | Audit

const route = (inbox: Inbox.Inbox, admit: () => void): Effect.Effect<void, Refused | CarrierClosed, Services> =>
  Effect.flatMap(firstMessage(inbox), (message): Effect.Effect<void, Refused | CarrierClosed, Services> => {
    switch (message.type) {
      case "register":
        return Registration.serve(inbox, admit, message)
      case "connect":
        return Connecting.serve(inbox, admit, message)
      case "session-join":
        return Joining.serve(inbox, admit, message)
    }
  })

const logRefusal = ({ because, stranger, text }: Refused): Effect.Effect<void> =>
  Effect.annotateLogs(stranger ? Effect.logDebug("turned away") : Effect.logWarning("turned away"), {
    said: text,
    ...(because !== undefined && { because })
  })

/** Serves one socket until it is over. */
export const serve = ({ admit, carrier }: Accepted): Effect.Effect<void, never, Services> =>
  Effect.suspend(() => {
    const inbox = Inbox.make(carrier)
    return route(inbox, admit).pipe(
      Effect.catchTags({
        CarrierClosed: () => Effect.void,
        Refused: (refusal) => {
          turnAway(inbox, refusal)
          return logRefusal(refusal).pipe(Effect.annotateLogs("peer", carrier.peer))
        }
      }),
      Effect.catchAllCause((cause) => {
        carrier.terminate()
        return Cause.isInterruptedOnly(cause) ? Effect.void : Effect.logError("a connection failed", cause)
      })
    )
  })
