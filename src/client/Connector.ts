/**
 * Keeps one session up. An actor: a single fiber opens a session, waits for its end, and tries again with backoff, until
 * an error that no retry can mend. What carries local connections asks it for the current session.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { backoff } from "../protocol/Backoff.ts"
import { RECONNECT_STEADY } from "../protocol/Limits.ts"
import { printable } from "../protocol/Printable.ts"
import type { TunnelClosed } from "../tunnel/Tunnel.ts"
import { ConnectError, isFinal } from "./ConnectError.ts"
import type { OnConnectEvent } from "./ConnectEvent.ts"
import type { Session } from "./Session.ts"

export interface Connector {
  /** The session that stands, or the next one that does; waits as long as it takes. Fails when there will be none. */
  readonly session: Effect.Effect<Session, ConnectError>
  /** The session that stands at this moment. */
  readonly current: () => Session | undefined
  /** Waits for the error that ended it for good. */
  readonly ended: Effect.Effect<never, ConnectError>
}

/** What ends a first try, when nothing ever worked: with `wait`, a machine that is not there yet does not. */
const endsFirstTry = (error: ConnectError, wait: boolean, attempt: number): boolean =>
  isFinal(error) || !wait || (error.kind === "unreachable" && attempt === 0)

/** The error that the end of a session is. */
const whyEnded = (machine: string, how: TunnelClosed): ConnectError => {
  const reason = printable(how.reason)
  switch (how.kind) {
    case "revoked":
      return new ConnectError({ kind: "revoked", reason })
    case "tampered": {
      const meddled = `the session with "${machine}" was meddled with, by the hub or on the way: ${reason}`
      return new ConnectError({ kind: "untrusted", reason: meddled })
    }
    case "lost":
    case "closed":
      return new ConnectError({ kind: "lost", reason })
  }
}

const stopped = new ConnectError({ kind: "local", reason: "the client has stopped" })

/** The error that ended the loop; a defect is a bug of ours, and told as such. */
const whyStopped = (cause: Cause.Cause<ConnectError>): ConnectError =>
  Option.getOrElse(Cause.failureOption(cause), () => {
    if (Cause.isInterruptedOnly(cause)) return stopped
    const bug = printable(String(Cause.squash(cause)))
    return new ConnectError({ kind: "local", reason: `the client stopped on a bug, please report it: ${bug}` })
  })

/** Starts it; it ends, and with it the session, with the scope. */
export const make = (options: {
  readonly machine: string
  /** Opens a session whose end is the scope's. */
  readonly open: Effect.Effect<Session, ConnectError, Scope.Scope>
  /** Wait for a machine that is offline or unknown, instead of failing at the first try. */
  readonly wait?: boolean | undefined
  readonly onEvent?: OnConnectEvent | undefined
}): Effect.Effect<Connector, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { machine, open, wait = false, onEvent = () => {} } = options
    const over = yield* Deferred.make<never, ConnectError>()
    let current: Session | undefined
    let next = yield* Deferred.make<Session, ConnectError>()
    let succeeded = false

    /** One session from its beginning to its end: why it ended, whether it ever stood, and how long. */
    const once = Effect.gen(function* () {
      const session = yield* open
      const since = yield* Clock.currentTimeMillis
      const { fingerprint, firstUse, principal } = session
      onEvent({ _tag: "Connected", machine, fingerprint, principal, firstUse, again: succeeded })
      succeeded = true
      current = session
      yield* Deferred.succeed(next, session)
      const how = yield* session.tunnel.closed
      const stood = (yield* Clock.currentTimeMillis) - since
      return { error: whyEnded(machine, how), lost: true, stood }
    }).pipe(
      Effect.catchAll((error) => Effect.succeed({ error, lost: false, stood: 0 })),
      Effect.scoped,
      Effect.ensuring(
        Effect.gen(function* () {
          if (current === undefined) return
          current = undefined
          next = yield* Deferred.make<Session, ConnectError>()
        })
      )
    )

    const loop = Effect.gen(function* () {
      let attempt = 0
      for (let tries = 0; ; tries++) {
        const { error, lost, stood } = yield* once
        if (succeeded ? isFinal(error) : endsFirstTry(error, wait, tries)) return yield* error
        if (stood >= RECONNECT_STEADY) attempt = 0
        const retryIn = backoff(attempt++, yield* Random.next)
        onEvent({ _tag: "Reconnecting", machine, reason: error.reason, retryIn, lost })
        yield* Effect.sleep(retryIn)
      }
    })

    yield* loop.pipe(
      Effect.onExit((exit) => {
        const why = Exit.isFailure(exit) ? whyStopped(exit.cause) : stopped
        return Effect.zipRight(Deferred.fail(over, why), Deferred.fail(next, why))
      }),
      Effect.interruptible,
      Effect.forkScoped
    )

    return {
      session: Effect.suspend(() => (current === undefined ? Deferred.await(next) : Effect.succeed(current))),
      current: () => current,
      ended: Deferred.await(over)
    }
  })
