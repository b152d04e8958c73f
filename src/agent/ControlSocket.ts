/**
 * One connection of a machine to its hub: register, then do what the hub asks until it ends (spec: wire 2).
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import type { KeyPair } from "../crypto/KeyPair.ts"
import { CloseCode } from "../protocol/Close.ts"
import * as Control from "../protocol/Control.ts"
import { REGISTER_TIMEOUT } from "../protocol/Limits.ts"
import { printable } from "../protocol/Printable.ts"
import type { AgentState } from "../store/AgentState.ts"
import type { CarrierClosed, Dial } from "../transport/Carrier.ts"
import * as Inbox from "../transport/Inbox.ts"
import type { Links } from "./Links.ts"
import type { LiveMachine } from "./LiveMachine.ts"
import type { Management } from "./Management.ts"
import * as Offer from "./Offer.ts"
import type { Sessions } from "./Sessions.ts"

export interface Options {
  readonly hub: string
  readonly machine: LiveMachine
  readonly identity: KeyPair
  readonly state: AgentState
  readonly dial: Dial
  readonly links: Links
  readonly sessions: Sessions
  /** What the hub may ask for; it is told that there is nothing unless given. */
  readonly management?: Management | undefined
  /** Open while the machine is registered. */
  readonly registered: Effect.Latch
}

/** How a connection ended, or that it is about to. Durations are milliseconds. */
export type Ending =
  | { readonly _tag: "Refused"; readonly reason: string }
  | {
      readonly _tag: "Lost"
      readonly reason: string
      readonly stood: number
      /** When the hub wants to be asked again; as soon as backoff allows, if it says nothing. */
      readonly retryIn: number | undefined
    }
  /** The hub is about to stop: the socket still stands, and is listened to until the scope ends, or it is `over`. */
  | { readonly _tag: "Draining"; readonly retryIn: number; readonly over: Effect.Effect<void> }

const refused = (reason: string): Ending => ({ _tag: "Refused", reason: printable(reason) })
const lost = (reason: string, stood = 0, retryIn?: number): Ending => ({
  _tag: "Lost",
  reason: printable(reason),
  stood,
  retryIn
})

/** Waits for `registered`; the other side of the result is how it ended instead. */
const awaitRegistered = (inbox: Inbox.Inbox): Effect.Effect<Either.Either<void, Ending>> =>
  Effect.gen(function* () {
    while (true) {
      const message = yield* inbox.take
      const decoded = message._tag === "Text" ? Control.decode(message.text) : undefined
      if (decoded === undefined || Either.isLeft(decoded)) continue
      const said = decoded.right
      if (said.type === "registered") return Either.void
      if (said.type !== "error") continue
      return Either.left(said.retryIn === undefined ? refused(said.message) : lost(said.message, 0, said.retryIn))
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

/** Who acts on what the hub says on a socket that is registered. */
interface Hearer extends Pick<Options, "machine" | "management" | "sessions"> {
  /** The machine is registered as it was at the oldest version that the hub has not answered yet. */
  readonly registeredAgain: () => void
  /** The hub is about to stop. */
  readonly draining: (retryIn: number) => Effect.Effect<unknown>
}

/** Takes what the hub says until the socket closes. */
const listen = (inbox: Inbox.Inbox, hearer: Hearer): Effect.Effect<never, CarrierClosed> =>
  Effect.gen(function* () {
    const { machine, management, sessions } = hearer
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
    const said = decoded.right
    switch (said.type) {
      case "session-request":
      case "session-update":
      case "session-revoked":
        return yield* sessions.take(said)
      case "mgmt-request":
        return yield* (
          management?.take(machine, said, (answer) => inbox.carrier.sendText(Control.encode(answer))) ?? Effect.void
        )
      case "registered":
        return hearer.registeredAgain()
      case "drain":
        return yield* hearer.draining(said.retryIn)
      case "error":
        return yield* Effect.logWarning(`the hub says: ${printable(said.message)}`)
    }
  }).pipe(Effect.forever)

/** Connects, and waits for the end. The socket closes with the scope. */
export const run = (options: Options): Effect.Effect<Ending, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { dial, hub, identity, links, machine, management, registered, sessions, state } = options
    const dialled = yield* Effect.either(dial(hub))
    if (Either.isLeft(dialled)) return lost(dialled.left.message)
    const carrier = dialled.right
    const inbox = Inbox.make(carrier)
    /** Versions of the machine that the hub was told and has not answered. */
    const told: Array<number> = []
    const register = (again: boolean) => {
      told.push(machine.version())
      const resumable = again ? [] : links.resumable(machine.name)
      const more = { managed: management?.machines, again, resumes: links.canWait }
      carrier.sendText(Control.encode(Offer.register(machine.now(), identity, state, resumable, more)))
    }
    const registeredAgain = () => {
      const version = told.shift()
      if (version !== undefined) machine.taken(version)
    }
    register(false)
    const answer = yield* awaitRegistered(inbox)
    if (Either.isLeft(answer)) return answer.left
    yield* Effect.acquireRelease(
      Effect.sync(() => machine.listen(() => register(true))),
      (unlisten) => Effect.sync(unlisten)
    )
    // It may have changed while the hub made up its mind.
    if (told.at(-1) !== machine.version()) register(true)
    registeredAgain()

    const since = yield* Clock.currentTimeMillis
    const { services, target } = machine.now()
    const ports = services.map((service) => service.port).join(",")
    yield* Effect.logInfo(`registered at ${hub}`, { target, ports })
    yield* registered.open
    const ending = yield* Deferred.make<Ending>()
    const isOver = yield* Deferred.make<void>()
    const over = Deferred.await(isOver)
    const draining = (retryIn: number) => Deferred.succeed(ending, { _tag: "Draining", retryIn, over })
    yield* listen(inbox, { machine, management, sessions, registeredAgain, draining }).pipe(
      Effect.catchAll((how) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          // The right to be here has ended: dialled again at once, the hub would only say so again.
          Deferred.succeed(ending, how.code === CloseCode.policy ? refused(how.reason) : lost(how.message, now - since))
        )
      ),
      Effect.onError((cause) => Deferred.failCause(ending, cause)),
      Effect.ensuring(Deferred.succeed(isOver, undefined)),
      Effect.forkScoped
    )
    return yield* Deferred.await(ending)
  })
