/** Sampling of denied attempts: so many a second are recorded one by one, the rest only as a number. */
import { AUDIT_DENIED_PER_SECOND } from "../../protocol/Limits.ts"
import type { AuditAction, AuditEvent } from "../Audit.ts"

export interface Sampling {
  /** Whether a denied attempt is recorded by itself; otherwise it is counted. */
  readonly admits: (action: AuditAction, now: number) => boolean
  /** Takes what was counted, one event for each kind of attempt. */
  readonly take: () => ReadonlyArray<AuditEvent>
}

export const make = (): Sampling => {
  const counted = new Map<AuditAction, number>()
  let second = Number.NEGATIVE_INFINITY
  let admitted = 0
  return {
    admits: (action, now) => {
      if (now - second >= 1_000) {
        second = now
        admitted = 0
      }
      if (admitted < AUDIT_DENIED_PER_SECOND) {
        admitted++
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
