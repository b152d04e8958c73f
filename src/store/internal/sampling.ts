/**
 * Sampling of denied attempts: so many a second are recorded one by one, the rest only as a number. Strangers share one
 * budget and each identity has its own, so that nobody's flood hides what somebody known tried.
 */
import { AUDIT_DENIED_ACTORS, AUDIT_DENIED_PER_SECOND } from "../../protocol/Limits.ts"
import type { AuditAction, AuditEvent } from "../Audit.ts"

export interface Sampling {
  /** Whether a denied attempt is recorded by itself; otherwise it is counted. */
  readonly admits: (attempt: Pick<AuditEvent, "action" | "actor">, now: number) => boolean
  /** Takes what was counted, one event for each kind of attempt. */
  readonly take: () => ReadonlyArray<AuditEvent>
}

/** No identity is called so. */
const STRANGERS = ""

export const make = (): Sampling => {
  const counted = new Map<AuditAction, number>()
  /** Attempts of this second that were recorded, by who made them. */
  const admitted = new Map<string, number>()
  let second = Number.NEGATIVE_INFINITY
  return {
    admits: ({ action, actor = STRANGERS }, now) => {
      if (now - second >= 1_000) {
        second = now
        admitted.clear()
      }
      const who = admitted.has(actor) || admitted.size < AUDIT_DENIED_ACTORS ? actor : STRANGERS
      const before = admitted.get(who) ?? 0
      if (before < AUDIT_DENIED_PER_SECOND) {
        admitted.set(who, before + 1)
        return true
      }
      counted.set(action, (counted.get(action) ?? 0) + 1)
      return false
    },
    take: () => {
      const events = [...counted].map(([action, count]): AuditEvent => ({
        action,
        outcome: "denied",
        why: "too many attempts to record one by one",
        detail: `${count} more`
      }))
      counted.clear()
      return events
    }
  }
}
