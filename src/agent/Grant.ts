/**
 * What the hub says that a session may use: at first in the request for it, then as the control socket changes it. Plain
 * calls, so that a stream that may not be any more ends in the turn in which the hub's word arrives.
 */
import type { SessionClient, SessionUpdate } from "../protocol/Control.ts"

/** Who acts on the hub's word. */
export interface GrantListener {
  /** {@link Grant.client} is another than it was. */
  readonly changed: () => void
  /** The session may not be any more. */
  readonly revoked: (reason: string) => void
}

export interface Grant {
  /** For whom the hub asks, and which services they may use; undefined through a hub that vouches for nobody. */
  readonly client: () => SessionClient | undefined
  /** Whether the session may not be any more. */
  readonly isRevoked: () => boolean
  /** The hub's word on what it may use from now on. */
  readonly update: (now: Pick<SessionUpdate, "services" | "revision" | "principal">) => void
  readonly revoke: (reason: string) => void
  /** Calls `listener` from now on; returns what ends that. A grant that was revoked before says so at once. */
  readonly listen: (listener: GrantListener) => () => void
}

export const make = (asked: SessionClient | undefined): Grant => {
  const listeners = new Set<GrantListener>()
  let client = asked
  let revoked: string | undefined
  return {
    client: () => client,
    isRevoked: () => revoked !== undefined,
    update: ({ principal, revision, services }) => {
      if (client === undefined || revoked !== undefined) return
      const { services: _, ...kept } = client
      client = { ...kept, revision, ...(services && { services }), ...(principal !== undefined && { principal }) }
      for (const listener of listeners) listener.changed()
    },
    revoke: (reason) => {
      if (revoked !== undefined) return
      revoked = reason
      for (const listener of [...listeners]) listener.revoked(reason)
    },
    listen: (listener) => {
      listeners.add(listener)
      if (revoked !== undefined) listener.revoked(revoked)
      return () => void listeners.delete(listener)
    }
  }
}
