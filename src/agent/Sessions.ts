/**
 * The sessions of one machine: asked for by the hub on the control socket, each in a fiber of its own. They outlive that
 * socket: what the hub says of them later may come on another one, or from another hub in its place.
 */
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import type * as Scope from "effect/Scope"
import type { KeyPair } from "../crypto/KeyPair.ts"
import type * as Control from "../protocol/Control.ts"
import { AGENT_SESSIONS, SESSION_INDEX_MAX } from "../protocol/Limits.ts"
import { printable } from "../protocol/Printable.ts"
import * as SessionId from "../protocol/SessionId.ts"
import type { Dial } from "../transport/Carrier.ts"
import type * as Tcp from "../transport/Tcp.ts"
import * as Grant from "./Grant.ts"
import type { Links } from "./Links.ts"
import type { LiveMachine } from "./LiveMachine.ts"
import * as SessionHost from "./SessionHost.ts"

export interface SessionsOptions {
  readonly hub: string
  readonly machine: LiveMachine
  readonly identity: KeyPair
  readonly dial: Dial
  /** Bounds what is on its way to the hub at a time, of the whole agent. */
  readonly joining: Effect.Semaphore
  readonly reach: typeof Tcp.connect
  readonly links: Links
}

/** What the hub says of sessions. */
export type SessionMessage = Control.SessionRequest | Control.SessionUpdate | Control.SessionRevoked

export interface Sessions {
  /** Does what the hub says. */
  readonly take: (message: SessionMessage) => Effect.Effect<void>
}

/** A session's whole life, for its fiber: every end is a log line, and none touches its neighbours. */
const host = (options: SessionsOptions, request: Control.SessionRequest, grant: Grant.Grant) =>
  SessionHost.serve({ ...options, request, grant }).pipe(
    Effect.scoped,
    Effect.catchTag("SessionEnded", ({ level, reason }) =>
      level === "warning" ? Effect.logWarning(`session refused: ${reason}`) : Effect.logInfo(`session ended: ${reason}`)
    ),
    Effect.catchAllDefect((defect) => Effect.logError("session failed", defect)),
    Effect.annotateLogs({ session: SessionId.logged(printable(request.sessionId)) })
  )

/** Sessions end with the scope. */
export const make = (options: SessionsOptions): Effect.Effect<Sessions, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { links } = options
    const fibers = yield* FiberMap.make<string, void>()
    const grants = new Map<string, Grant.Grant>()
    const grantOf = (sessionId: string) => grants.get(sessionId) ?? links.grantOf(sessionId)

    const begin = (request: Control.SessionRequest) =>
      Effect.gen(function* () {
        const { sessionId, sessionIdx } = request
        if (sessionIdx < 0 || sessionIdx > SESSION_INDEX_MAX) {
          return yield* Effect.logWarning(`session refused: index ${sessionIdx} is above ${SESSION_INDEX_MAX}`)
        }
        if ((yield* FiberMap.size(fibers)) >= AGENT_SESSIONS) {
          return yield* Effect.logWarning(`session refused: ${AGENT_SESSIONS} sessions are open`)
        }
        if (grants.has(sessionId)) return
        const grant = Grant.make(request.client)
        grants.set(sessionId, grant)
        const forget = Effect.sync(() => grants.delete(sessionId))
        yield* FiberMap.run(fibers, sessionId, Effect.ensuring(host(options, request, grant), forget))
      })

    return {
      take: (message) => {
        switch (message.type) {
          case "session-request":
            return begin(message)
          case "session-update":
            return Effect.sync(() => grantOf(message.sessionId)?.update(message))
          case "session-revoked":
            return Effect.sync(() => grantOf(message.sessionId)?.revoke(printable(message.reason ?? "policy")))
        }
      }
    }
  })
