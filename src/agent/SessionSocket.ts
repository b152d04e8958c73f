/**
 * An agent's socket for one session: dialled, and joined to it (spec: wire 3.5). What is lost on the way is tried again on
 * another socket, since the client waits for nothing else: a path may be dead, or half-open, while others work.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Control from "../protocol/Control.ts"
import { HANDSHAKE_TIMEOUT, JOIN_RETRY, JOIN_TRIES, JOIN_WITHIN } from "../protocol/Limits.ts"
import type { Dial } from "../transport/Carrier.ts"
import * as Inbox from "../transport/Inbox.ts"

/** The session was not joined. */
export class NotJoined extends Data.TaggedError("NotJoined")<{
  /** `lost`: the way to the hub. `refused`: the hub said why not. `strange`: it said something else. */
  readonly kind: "lost" | "refused" | "strange"
  readonly reason: string
}> {}

export interface JoinOptions {
  readonly hub: string
  readonly machine: string
  readonly sessionId: string
  readonly dial: Dial
  /** Bounds what is on its way to the hub at a time, of the whole agent. */
  readonly joining: Effect.Semaphore
}

const lost = ({ message: reason }: { readonly message: string }) => new NotJoined({ kind: "lost", reason })

/** The hub's answer to session-join must be session-start, and nothing before it. */
const awaitStart = (inbox: Inbox.Inbox): Effect.Effect<void, NotJoined> =>
  Effect.gen(function* () {
    const message = yield* Effect.mapError(inbox.take, lost)
    const decoded = message._tag === "Text" ? Control.decode(message.text) : undefined
    if (decoded !== undefined && Either.isRight(decoded)) {
      if (decoded.right.type === "session-start") return
      if (decoded.right.type === "error") {
        return yield* new NotJoined({ kind: "refused", reason: decoded.right.message })
      }
    }
    return yield* new NotJoined({
      kind: "strange",
      reason: "the hub answered session-join with something else than session-start"
    })
  }).pipe(
    Effect.timeoutFail({
      duration: HANDSHAKE_TIMEOUT,
      onTimeout: () =>
        new NotJoined({ kind: "lost", reason: `session-start did not come within ${HANDSHAKE_TIMEOUT / 1000} s` })
    })
  )

const once = ({ dial, hub, machine, sessionId }: JoinOptions): Effect.Effect<Inbox.Inbox, NotJoined, Scope.Scope> =>
  Effect.gen(function* () {
    const inbox = Inbox.make(yield* Effect.mapError(dial(hub), lost))
    inbox.carrier.sendText(Control.encode({ type: "session-join", machineId: machine, sessionId }))
    yield* awaitStart(inbox)
    return inbox
  })

const again = Schedule.intersect(Schedule.jittered(Schedule.exponential(JOIN_RETRY)), Schedule.recurs(JOIN_TRIES - 1))

/** Joins the session; the socket ends with the scope. */
export const join = (options: JoinOptions): Effect.Effect<Inbox.Inbox, NotJoined, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    return yield* once(options).pipe(
      Scope.extend(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
      options.joining.withPermits(1)
    )
  }).pipe(
    Effect.retry({ schedule: again, while: ({ kind }) => kind === "lost" }),
    Effect.timeoutFail({
      duration: JOIN_WITHIN,
      onTimeout: () => new NotJoined({ kind: "lost", reason: `not joined within ${JOIN_WITHIN / 1000} s` })
    })
  )
