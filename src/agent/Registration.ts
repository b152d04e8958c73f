/**
 * One machine's place at the hub. An actor: a single fiber that dials, registers, and waits for the end of the control
 * socket; then it dials again with backoff, for ever. A hub that refuses is asked again slowly, because a person may mend
 * the grant there; one that is about to stop keeps its socket until another one stands in its place.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { asked, backoff, cutShort, jittered } from "../protocol/Backoff.ts"
import { RECONNECT_CAP, RECONNECT_STEADY, REFUSED_RETRY, RESUME_RETRY_CAP } from "../protocol/Limits.ts"
import * as ControlSocket from "./ControlSocket.ts"
import * as Sessions from "./Sessions.ts"

export interface RegistrationOptions extends Sessions.SessionsOptions, Omit<ControlSocket.Options, "sessions"> {}

const inSeconds = (delay: number) => `${(delay / 1000).toFixed(1)} s`

/** Waits until the hub wants to be asked again; for a part of the rest only, once the socket is lost on which it said so. */
const untilAsked = (retryIn: number, lost: Effect.Effect<void>, chance: number) =>
  Effect.gen(function* () {
    const at = (yield* Clock.currentTimeMillis) + retryIn
    yield* Effect.raceFirst(Effect.sleep(retryIn), lost)
    yield* Effect.sleep(cutShort(at - (yield* Clock.currentTimeMillis), chance))
  })

/** Keeps the machine registered until it is interrupted. */
const keep = (options: RegistrationOptions) =>
  Effect.gen(function* () {
    const parent = yield* Effect.scope
    const sessions = yield* Sessions.make(options)
    /** The socket of a hub that is about to stop: its sessions go on until they have moved. */
    let leaving: Scope.CloseableScope | undefined
    let attempt = 0
    while (true) {
      const scope = yield* Scope.fork(parent, ExecutionStrategy.sequential)
      const ending = yield* ControlSocket.run({ ...options, sessions }).pipe(Scope.extend(scope))
      const closed = ending._tag === "Draining" ? leaving : scope
      if (ending._tag === "Draining") leaving = scope
      else yield* options.registered.close
      if (closed !== undefined) yield* Scope.close(closed, Exit.void)
      const chance = yield* Random.next
      switch (ending._tag) {
        case "Draining": {
          attempt = 0
          const delay = asked(ending.retryIn)
          yield* Effect.logInfo(`the hub is about to stop; registering again in ${inSeconds(delay)}`)
          yield* untilAsked(delay, ending.over, chance)
          break
        }
        case "Refused": {
          attempt = 0
          options.machine.refused(ending.reason)
          const delay = jittered(REFUSED_RETRY, chance)
          yield* Effect.logError(
            `the hub refuses the registration: ${ending.reason}; check the token and its register grant for this machine; ` +
              `next try in ${Math.round(delay / 1000)} s`
          )
          // What was refused may have been the machine's configuration.
          yield* Effect.raceFirst(Effect.sleep(delay), options.machine.changed)
          break
        }
        case "Lost": {
          if (ending.stood >= RECONNECT_STEADY) attempt = 0
          // Clients that come back for their connections need it there first.
          const isAwaited = options.links.resumable(options.machine.name).length > 0
          const delay =
            ending.retryIn === undefined
              ? backoff(attempt++, chance, isAwaited ? RESUME_RETRY_CAP : RECONNECT_CAP)
              : jittered(asked(ending.retryIn), chance)
          yield* Effect.logWarning(`not registered: ${ending.reason}; next try in ${inSeconds(delay)}`)
          yield* Effect.sleep(delay)
        }
      }
    }
  })

export const run = (options: RegistrationOptions): Effect.Effect<never> =>
  Effect.scoped(keep(options)).pipe(
    // A defect here is a bug; it costs this machine a pause, and the others nothing.
    Effect.catchAllDefect((defect) =>
      Effect.zipRight(Effect.logError("registration failed", defect), Effect.sleep(REFUSED_RETRY))
    ),
    Effect.forever,
    Effect.annotateLogs({ machine: options.machine.name })
  )
