/**
 * Ends what policy no longer permits. When identities or grants change, and when an expiry passes, every registration and
 * session that was begun with a token concerned is asked again; what is denied is over in the same turn of the event loop,
 * before whoever made the change is answered, and its peers are told why.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { holderOf } from "../policy/Identity.ts"
import type { Identity } from "../policy/Identity.ts"
import { CloseCode, closeReason, Refusal } from "../protocol/Close.ts"
import { encode } from "../protocol/Control.ts"
import { REVIEW_SLICE } from "../protocol/Limits.ts"
import { Audit } from "../store/Audit.ts"
import { Authority } from "./Authority.ts"
import { Directory } from "./Directory.ts"
import type { Machine } from "./Directory.ts"
import * as Deadlines from "./internal/deadlines.ts"
import { nameNow } from "./internal/nameNow.ts"
import { withoutStopWords } from "./Refused.ts"
import { Sessions } from "./Sessions.ts"
import type { Session } from "./Sessions.ts"

/** To a client whose grant names services, when nobody on the machine would hold it to them. */
export const noServiceGrants =
  "your grant is limited to some services, which the agent of this machine is too old to enforce; upgrade telad there"

export class Enforcement extends Context.Tag("tela/hub/Enforcement")<
  Enforcement,
  {
    /** Something was begun with a token (by its SHA-256) whose permission is to be asked again at an instant. */
    readonly watch: (tokenHash: string, until: number | undefined) => void
    /** Ends a session that may not be, by the rule given. */
    readonly endSession: (session: Session, rule: string) => void
  }
>() {}

const isSame = (a: ReadonlyArray<string> | undefined, b: ReadonlyArray<string> | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && a.length === b.length && a.every((name) => b.includes(name)))

/** Enforces from now on, until the scope ends. */
export const make: Effect.Effect<
  typeof Enforcement.Service,
  never,
  Authority | Directory | Sessions | Audit | Scope.Scope
> = Effect.gen(function* () {
  const authority = yield* Authority
  const directory = yield* Directory
  const sessions = yield* Sessions
  const audit = yield* Audit
  const log = yield* FiberSet.makeRuntime<never>()

  const endSession = (session: Session, rule: string) => {
    const { id, machine, principal } = session
    const at = directory.find(machine)
    const control = at?.about.serviceGrants === true ? at.agent?.carrier : undefined
    const target = nameNow(authority.snapshot(), principal)
    sessions.later(() => {
      // First on the agent's control socket, which the client's data cannot hold up.
      control?.sendText(encode({ type: "session-revoked", sessionId: id, principal: principal.id, reason: rule }))
      audit.note({ action: "access-ended", target, machine, outcome: "ok", why: rule, detail: "session" })
    })
    sessions.end(session, "access ended", rule)
  }

  const endRegistration = ({ agent, name }: Machine, rule: string) => {
    if (agent === undefined || !directory.leave(name, agent, false)) return
    const { carrier, principal } = agent
    const target = nameNow(authority.snapshot(), principal)
    sessions.later(() => {
      const message = closeReason(withoutStopWords(`${Refusal.registrationRevoked}: ${rule}`))
      carrier.sendText(encode({ type: "error", message }))
      carrier.revoke(CloseCode.policy, message)
      const about = { target, machine: name, from: carrier.peer }
      audit.note({ action: "access-ended", ...about, outcome: "ok", why: rule, detail: "registration" })
      log(Effect.logWarning("registration ended", { machine: name, principal: target, peer: carrier.peer, rule }))
    })
    sessions.endOfMachine(name, "registration ended")
  }

  /** The identity as it is now, under the name it has now; as it was, when its token is nobody's any more. */
  const renewed = (principal: Identity): Identity => holderOf(authority.snapshot(), principal.tokenHash) ?? principal

  const reviewRegistration = (machine: Machine) => {
    if (machine.agent === undefined) return
    const principal = renewed(machine.agent.principal)
    directory.amend(machine.name, principal)
    const decision = authority.ask({ identity: principal, permission: "register", machine: machine.name })
    if (decision.permit) watch(principal.tokenHash, decision.until)
    else endRegistration(machine, decision.rule)
  }

  const reviewSession = (session: Session) => {
    const { id, machine } = session
    const principal = renewed(session.principal)
    sessions.amend(session, { principal, services: session.services })
    const decision = authority.ask({ identity: principal, permission: "connect", machine })
    if (!decision.permit) return endSession(session, decision.rule)
    watch(principal.tokenHash, decision.until)
    const { services } = decision
    if (isSame(session.services, services)) return
    const at = directory.find(machine)
    if (services !== undefined && at?.about.serviceGrants !== true) return endSession(session, noServiceGrants)
    sessions.amend(session, { principal, services })
    const { revision } = authority.snapshot()
    const update = { type: "session-update", sessionId: id, revision, ...(services && { services }) } as const
    at?.agent?.carrier.sendText(encode(update))
  }

  /** Asks again for everything that was begun with a token; says for how much. */
  const review = (tokenHash: string): number => {
    deadlines.delete(tokenHash)
    // Registrations first: the sessions of a machine that goes are over for another reason than their own.
    const machines = directory.ofToken(tokenHash)
    for (const machine of machines) reviewRegistration(machine)
    const begun = sessions.ofToken(tokenHash)
    for (const session of begun) reviewSession(session)
    return machines.length + begun.length
  }

  /** Tokens that are to be asked for again in this turn or one of the next. */
  const waiting = new Set<string>()
  const reviewWaiting = () => {
    let left = REVIEW_SLICE
    for (const tokenHash of waiting) {
      waiting.delete(tokenHash)
      left -= review(tokenHash)
      if (left <= 0 && waiting.size > 0) return void setImmediate(reviewWaiting)
    }
  }

  const deadlines = yield* Deadlines.make(review)
  /** The nearest instant of all that was begun with a token; `review` gathers them anew. */
  const watch = (tokenHash: string, until: number | undefined) => {
    if (until !== undefined) deadlines.add(tokenHash, until)
  }

  authority.onChange((_snapshot, tokens) => {
    if (tokens !== "all") {
      for (const tokenHash of tokens) review(tokenHash)
      return
    }
    for (const tokenHash of [...directory.tokens(), ...sessions.tokens()]) waiting.add(tokenHash)
    reviewWaiting()
  })

  return { watch, endSession }
})

export const layer: Layer.Layer<Enforcement, never, Authority | Directory | Sessions | Audit> = Layer.scoped(
  Enforcement,
  make
)
