/**
 * Keeps one machine connected. An actor: a single fiber opens a session, waits for its end, and tries again with backoff,
 * until an error that no retry can mend. A tunnel that can go on outlives its sessions: its connections stand still
 * meanwhile, at most the grace, and then go on, or are reset with the reason. What carries local connections asks for the
 * session that stands.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { asked, backoff, cutShort, jittered } from "../protocol/Backoff.ts"
import {
  CARRIER_LIFETIME,
  RECONNECT_CAP,
  RECONNECT_STEADY,
  RESUME_GRACE,
  RESUME_RETRY_CAP
} from "../protocol/Limits.ts"
import { printable } from "../protocol/Printable.ts"
import { KeepBudget } from "../tunnel/KeepBudget.ts"
import { heldNothing, type TunnelHeld } from "../tunnel/Tunnel.ts"
import { type ConnectError, isFinal } from "./ConnectError.ts"
import type { OnConnectEvent } from "./ConnectEvent.ts"
import { endsFirstTry, stopped, whyEnded, whyStopped } from "./Endings.ts"
import type { Begin, Opened, Session } from "./Session.ts"

export interface Connector {
  /**
   * The session that stands, or the next one that does; waits as long as it takes, and the pause until the next try is
   * shorter meanwhile. Fails when there will be none.
   */
  readonly session: Effect.Effect<Session, ConnectError>
  /** The session that stands at this moment. */
  readonly current: () => Session | undefined
  /** Waits for the error that ended it for good. */
  readonly ended: Effect.Effect<never, ConnectError>
  /** What its tunnel holds at this moment, whether or not a session stands. */
  readonly held: () => TunnelHeld
}

export interface ConnectorOptions {
  readonly machine: string
  /** Opens a session whose socket ends with the scope. */
  readonly open: (begin: Begin) => Effect.Effect<Opened, ConnectError, Scope.Scope>
  /** Wait for a machine that is offline or unknown, instead of failing at the first try. */
  readonly wait?: boolean | undefined
  /** How long connections wait for another session when one is lost, in milliseconds; 0: not at all. RESUME_GRACE unless given. */
  readonly resumeGrace?: number | undefined
  /** Memory for what waits so; KEPT_BYTES in all unless given. */
  readonly budget?: KeepBudget | undefined
  readonly onEvent?: OnConnectEvent | undefined
}

/** A tunnel from its beginning to its end, with the session that it is in now. */
interface Standing extends Opened {
  /** The tunnel's. */
  readonly scope: Scope.CloseableScope
}

/** What a session ended with: an error to try again after, or another session that is to take its place. */
type Ending =
  { readonly _tag: "Lost"; readonly error: ConnectError } | { readonly _tag: "Moving"; readonly retryIn: number }

/** Starts it; it ends, and with it the session, with the scope. */
export const make = (options: ConnectorOptions): Effect.Effect<Connector, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { budget = new KeepBudget(), machine, onEvent = () => {}, open, resumeGrace = RESUME_GRACE } = options
    const parent = yield* Effect.scope
    const over = yield* Deferred.make<never, ConnectError>()
    // Scopes end in reverse order: a tunnel says goodbye while its socket still stands.
    const sockets = yield* Scope.fork(parent, ExecutionStrategy.sequential)
    const tunnels = yield* Scope.fork(parent, ExecutionStrategy.sequential)
    const account = () => budget.open(machine)
    /** Once the hub has asked to be tried again, whoever waits for it does. */
    let { wait = false } = options
    let standing: Standing | undefined
    let next = yield* Deferred.make<Session, ConnectError>()
    let succeeded = false
    /** Who waits for a session; open while somebody does. */
    let waiters = 0
    const wanted = yield* Effect.makeLatch()

    const current = () => (standing?.session.tunnel.isAttached() === true ? standing.session : undefined)

    /** The link that may go on, if it is not over. */
    const kept = () => (standing?.kept?.link.isOver === false ? standing.kept : undefined)

    /** Whether a link that begins now could go on in another session: what is said to the hub must not be more. */
    const hasRoom = () => {
      const one = account()
      one?.close()
      return one !== undefined
    }

    /** Waits for another session whenever there is none, until the tunnel is over. */
    const watch = ({ kept, session: { tunnel } }: Opened) => {
      const grace = Math.min(resumeGrace, kept?.grace ?? 0)
      return Effect.gen(function* () {
        yield* tunnel.detached
        return yield* Effect.timeoutOption(tunnel.attached, grace)
      }).pipe(
        Effect.repeat({ while: Option.isSome }),
        Effect.map(() => tunnel.abandon(`no session with "${machine}" for ${grace / 1000} s`))
      )
    }

    /** Fails when the tunnel that stands is over for a reason that no retry can mend. */
    const meddled: Effect.Effect<never, ConnectError> = Effect.suspend(() =>
      standing === undefined
        ? Effect.never
        : Effect.flatMap(standing.session.tunnel.closed, (how) => {
            const why = whyEnded(machine, how)
            return isFinal(why) ? why : Effect.never
          })
    )

    /** Opens a session in a scope; the tunnel goes on in it, or another one has begun. */
    const tryOnce = (socket: Scope.Scope) =>
      Effect.gen(function* () {
        const before = standing
        const scope = yield* Scope.fork(tunnels, ExecutionStrategy.sequential)
        const keeps = resumeGrace > 0 && (kept() !== undefined || hasRoom())
        const opened = yield* open({ scope, account: keeps ? account : undefined, kept: kept() }).pipe(
          Scope.extend(socket),
          Effect.onExit((exit) =>
            Exit.isFailure(exit) || exit.value.resumed ? Scope.close(scope, Exit.void) : Effect.void
          )
        )
        if (before !== undefined && opened.resumed) return { ...opened, scope: before.scope }
        if (before !== undefined) {
          const reason = opened.notResumed ?? `the session with "${machine}" could not go on`
          before.session.tunnel.abandon(printable(reason))
          yield* Scope.close(before.scope, Exit.void)
        }
        if (opened.kept !== undefined) yield* Effect.forkIn(watch(opened), scope)
        return { ...opened, scope }
      })

    /** Waits until the session is lost, or another is to take its place; the tunnel itself may be over then. */
    const wayOut = ({ draining, kept, session: { tunnel } }: Standing): Effect.Effect<Ending> => {
      const lost = Effect.map(Effect.raceFirst(tunnel.closed, tunnel.detached), (how): Ending => ({
        _tag: "Lost",
        error: whyEnded(machine, how)
      }))
      if (kept === undefined) return lost
      const soon = Effect.map(draining, asked)
      const moving = Effect.raceFirst(soon, Effect.as(Effect.sleep(CARRIER_LIFETIME), 0))
      return Effect.raceFirst(
        lost,
        Effect.map(moving, (retryIn): Ending => ({ _tag: "Moving", retryIn }))
      )
    }

    /** Waits until the hub wants to be asked again; for a part of the rest only, once the session that stood is lost. */
    const untilAsked = (retryIn: number, chance: number) =>
      Effect.gen(function* () {
        const at = (yield* Clock.currentTimeMillis) + retryIn
        const { tunnel } = standing?.session ?? {}
        const lost = tunnel === undefined ? Effect.never : Effect.raceFirst(tunnel.closed, tunnel.detached)
        yield* Effect.raceFirst(Effect.sleep(retryIn), lost)
        yield* Effect.sleep(cutShort(at - (yield* Clock.currentTimeMillis), chance))
      })

    /** Waits until the next try, which may come earlier for whoever waits for a session: not before `soonest`. */
    const pause = (retryIn: number, soonest: number) =>
      Effect.raceFirst(Effect.sleep(retryIn), Effect.zipRight(Effect.sleep(soonest), wanted.await))

    const announce = (opened: Standing) =>
      Effect.gen(function* () {
        const { resumed, session } = opened
        const { fingerprint, firstUse, principal } = session
        const carried = resumed ? session.tunnel.held().streams : 0
        onEvent({ _tag: "Connected", machine, fingerprint, principal, firstUse, again: succeeded, resumed, carried })
        succeeded = true
        standing = opened
        const waited = next
        next = yield* Deferred.make<Session, ConnectError>()
        yield* Deferred.succeed(waited, session)
      })

    const loop = Effect.gen(function* () {
      /** The socket of the session before, which stands until the next one has taken its place. */
      let leaving: Scope.CloseableScope | undefined
      let attempt = 0
      for (let tries = 0; ; tries++) {
        const socket = yield* Scope.fork(sockets, ExecutionStrategy.sequential)
        const opened = yield* Effect.either(Effect.raceFirst(tryOnce(socket), meddled))
        if (leaving !== undefined && (Either.isRight(opened) || current() === undefined)) {
          yield* Scope.close(leaving, Exit.void)
          leaving = undefined
        }
        let ending: Ending
        let lost = false
        if (Either.isRight(opened)) {
          yield* announce(opened.right)
          const since = yield* Clock.currentTimeMillis
          ending = yield* wayOut(opened.right)
          if ((yield* Clock.currentTimeMillis) - since >= RECONNECT_STEADY) attempt = 0
          lost = ending._tag === "Lost"
          if (ending._tag === "Moving") leaving = socket
          else yield* Scope.close(socket, Exit.void)
        } else {
          yield* Scope.close(socket, Exit.void)
          ending = { _tag: "Lost", error: opened.left }
        }
        const chance = yield* Random.next
        if (ending._tag === "Moving") {
          attempt = 0
          onEvent({ _tag: "Moving", machine, retryIn: ending.retryIn })
          yield* untilAsked(ending.retryIn, chance)
          continue
        }
        const { error } = ending
        if (error.kind === "restarting") wait = true
        if (succeeded ? isFinal(error) : endsFirstTry(error, wait, tries)) return yield* error
        const waiting = kept()?.tunnel.held().streams ?? 0
        const isHurried = waiting > 0 || (succeeded && waiters > 0)
        const retryIn =
          error.retryIn === undefined
            ? backoff(attempt++, chance, isHurried ? RESUME_RETRY_CAP : RECONNECT_CAP)
            : jittered(asked(error.retryIn), chance)
        onEvent({ _tag: "Reconnecting", machine, reason: error.reason, retryIn, lost, waiting })
        // Before the first session nobody has been promised one, and a hub that says when knows why.
        const mayHurry = succeeded && error.retryIn === undefined
        yield* pause(retryIn, mayHurry ? jittered(RESUME_RETRY_CAP, chance) : retryIn)
      }
    })

    yield* loop.pipe(
      Effect.onExit((exit) => {
        const why = Exit.isFailure(exit) ? whyStopped(exit.cause) : stopped
        // What may not be any more delivers nothing more either; Ctrl-C says goodbye instead.
        if (why !== stopped) standing?.session.tunnel.revoke(why.reason)
        return Effect.zipRight(Deferred.fail(over, why), Deferred.fail(next, why))
      }),
      Effect.interruptible,
      Effect.forkScoped
    )

    const awaited = Effect.acquireUseRelease(
      Effect.suspend(() => {
        waiters++
        return wanted.open
      }),
      () => Deferred.await(next),
      () => Effect.suspend(() => (--waiters === 0 ? wanted.close : Effect.void))
    )

    return {
      session: Effect.suspend(() => {
        const session = current()
        return session === undefined ? awaited : Effect.succeed(session)
      }),
      current,
      ended: Deferred.await(over),
      held: () => standing?.session.tunnel.held() ?? heldNothing
    }
  })
