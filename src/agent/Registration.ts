/**
 * One machine's place at the hub. An actor: a single fiber that dials, registers, and takes the hub's requests from its
 * control socket; when that ends, so do the machine's sessions, and it dials again with backoff, for ever. A hub that
 * refuses is asked again slowly, because a person may mend the grant there.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberMap from "effect/FiberMap"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type { KeyPair } from "../crypto/KeyPair.ts"
import { backoff, jittered } from "../protocol/Backoff.ts"
import { CloseCode } from "../protocol/Close.ts"
import * as Control from "../protocol/Control.ts"
import {
  AGENT_SESSIONS,
  RECONNECT_STEADY,
  REFUSED_RETRY,
  REGISTER_TIMEOUT,
  SESSION_INDEX_MAX
} from "../protocol/Limits.ts"
import { printable } from "../protocol/Printable.ts"
import * as SessionId from "../protocol/SessionId.ts"
import type { MachineConfig } from "../store/AgentFile.ts"
import type { AgentState } from "../store/AgentState.ts"
import type { Dial } from "../transport/Carrier.ts"
import * as Inbox from "../transport/Inbox.ts"
import type * as Tcp from "../transport/Tcp.ts"
import type { Tunnel } from "../tunnel/Tunnel.ts"
import * as Grant from "./Grant.ts"
import * as Offer from "./Offer.ts"
import * as SessionHost from "./SessionHost.ts"

export interface RegistrationOptions {
  readonly hub: string
  readonly machine: MachineConfig
  readonly identity: KeyPair
  readonly state: AgentState
  readonly dial: Dial
  readonly reach: typeof Tcp.connect
  /** Open while the machine is registered. */
  readonly registered: Effect.Latch
  readonly onTunnel: (tunnel: Tunnel) => Effect.Effect<void, never, Scope.Scope>
}

/** How one connection to the hub ended. */
type Ending =
  | { readonly _tag: "Refused"; readonly reason: string }
  | { readonly _tag: "Lost"; readonly reason: string; readonly stood: number }

const refused = (reason: string): Ending => ({ _tag: "Refused", reason: printable(reason) })
const lost = (reason: string, stood = 0): Ending => ({ _tag: "Lost", reason: printable(reason), stood })

/** Waits for `registered`; the other side of the result is how it ended instead. */
const awaitRegistered = (inbox: Inbox.Inbox): Effect.Effect<Either.Either<void, Ending>> =>
  Effect.gen(function* () {
    while (true) {
      const message = yield* inbox.take
      const decoded = message._tag === "Text" ? Control.decode(message.text) : undefined
      if (decoded === undefined || Either.isLeft(decoded)) continue
      if (decoded.right.type === "registered") return Either.void
      if (decoded.right.type === "error") return Either.left(refused(decoded.right.message))
    }
  }).pipe(
    Effect.catchAll((how) =>
      Effect.succeed(Either.left(how.code === CloseCode.policy ? refused(how.reason) : lost(how.message)))
    ),
    Effect.timeoutTo({
      duration: REGISTER_TIMEOUT,
      onSuccess: (result): Either.Either<void, Ending> => result,
      onTimeout: () => Either.left(lost(`no answer to register within ${REGISTER_TIMEOUT / 1000} s`))
    })
  )

/** A session's whole life, for its fiber: every end is a log line, and none touches its neighbours. */
const host = (options: RegistrationOptions, request: Control.SessionRequest, grant: Grant.Grant) =>
  SessionHost.serve({ ...options, request, grant }).pipe(
    Effect.scoped,
    Effect.catchTag("SessionEnded", ({ level, reason }) =>
      level === "warning" ? Effect.logWarning(`session refused: ${reason}`) : Effect.logInfo(`session ended: ${reason}`)
    ),
    Effect.catchAllDefect((defect) => Effect.logError("session failed", defect)),
    Effect.annotateLogs({ session: SessionId.logged(printable(request.sessionId)) })
  )

/** One connection: register, then serve the hub's requests until it ends. */
const once = (options: RegistrationOptions): Effect.Effect<Ending> =>
  Effect.gen(function* () {
    const { dial, hub, identity, machine, registered, state } = options
    const dialled = yield* Effect.either(dial(hub))
    if (Either.isLeft(dialled)) return lost(dialled.left.message)
    const carrier = dialled.right
    const inbox = Inbox.make(carrier)
    carrier.sendText(Control.encode(Offer.register(machine, identity, state)))
    const answer = yield* awaitRegistered(inbox)
    if (Either.isLeft(answer)) return answer.left

    const since = yield* Clock.currentTimeMillis
    const services = machine.services.map((service) => service.port).join(",")
    yield* Effect.logInfo(`registered at ${hub}`, { target: machine.target, ports: services })
    yield* Effect.acquireRelease(registered.open, () => registered.close)
    const sessions = yield* FiberMap.make<string, void>()
    const grants = new Map<string, Grant.Grant>()

    const take = Effect.gen(function* () {
      const message = yield* inbox.take
      const decoded = message._tag === "Text" ? Control.decode(message.text) : undefined
      if (decoded === undefined) return
      if (Either.isLeft(decoded)) {
        // Requests of later versions are none of our business, but a broken one that we know is worth a line.
        if (decoded.left._tag === "Malformed") {
          yield* Effect.logWarning(`the hub sent a malformed ${printable(decoded.left.type)}`)
        }
        return
      }
      const request = decoded.right
      if (request.type === "error") return yield* Effect.logWarning(`the hub says: ${printable(request.message)}`)
      if (request.type === "session-update") {
        return grants.get(request.sessionId)?.update(request.services, request.revision)
      }
      if (request.type === "session-revoked") {
        return grants.get(request.sessionId)?.revoke(printable(request.reason ?? "policy"))
      }
      if (request.type !== "session-request") return
      if (request.sessionIdx < 0 || request.sessionIdx > SESSION_INDEX_MAX) {
        return yield* Effect.logWarning(`session refused: index ${request.sessionIdx} is above ${SESSION_INDEX_MAX}`)
      }
      if ((yield* FiberMap.size(sessions)) >= AGENT_SESSIONS) {
        return yield* Effect.logWarning(`session refused: ${AGENT_SESSIONS} sessions are open`)
      }
      if (grants.has(request.sessionId)) return
      const grant = Grant.make(request.client)
      grants.set(request.sessionId, grant)
      const forget = Effect.sync(() => grants.delete(request.sessionId))
      yield* FiberMap.run(sessions, request.sessionId, Effect.ensuring(host(options, request, grant), forget))
    })
    const how = yield* Effect.flip(Effect.forever(take))
    // The right to be here has ended: dialled again at once, the hub would only say so again.
    if (how.code === CloseCode.policy) return refused(how.reason)
    return lost(how.message, (yield* Clock.currentTimeMillis) - since)
  }).pipe(Effect.scoped)

/** Keeps the machine registered until it is interrupted. */
export const run = (options: RegistrationOptions): Effect.Effect<never> =>
  Effect.gen(function* () {
    let attempt = 0
    while (true) {
      const ending = yield* once(options)
      const chance = yield* Random.next
      if (ending._tag === "Refused") {
        attempt = 0
        const delay = jittered(REFUSED_RETRY, chance)
        yield* Effect.logError(
          `the hub refuses the registration: ${ending.reason}; check the token and its register grant for this machine; ` +
            `next try in ${Math.round(delay / 1000)} s`
        )
        yield* Effect.sleep(delay)
      } else {
        if (ending.stood >= RECONNECT_STEADY) attempt = 0
        const delay = backoff(attempt++, chance)
        yield* Effect.logWarning(`not registered: ${ending.reason}; next try in ${(delay / 1000).toFixed(1)} s`)
        yield* Effect.sleep(delay)
      }
    }
  }).pipe(
    // A defect here is a bug; it costs this machine a pause, and the others nothing.
    Effect.catchAllDefect((defect) =>
      Effect.zipRight(Effect.logError("registration failed", defect), Effect.sleep(REFUSED_RETRY))
    ),
    Effect.forever,
    Effect.annotateLogs({ machine: options.machine.name })
  )
