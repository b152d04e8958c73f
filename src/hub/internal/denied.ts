/** Attempts to register or to connect without the right to. */
import * as Effect from "effect/Effect"
import { Audit } from "../../store/Audit.ts"
import type { AuditEvent } from "../../store/Audit.ts"
import type { Refused } from "../Refused.ts"

/** Records the attempt, and refuses it. */
export const denied = (
  attempt: Omit<AuditEvent, "outcome" | "why">,
  refusal: Refused
): Effect.Effect<never, Refused, Audit> =>
  Effect.flatMap(Audit, (audit) => {
    audit.note({ ...attempt, outcome: "denied", why: refusal.because ?? refusal.text })
    return refusal
  })
