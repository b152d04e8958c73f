/**
 * Ends what policy no longer permits. When identities or grants change, and when an expiry passes, every registration and
 * session that was begun with a token concerned is asked again; what is denied is over in the same turn of the event loop,
 * before whoever made the change is answered, and its peers are told why. So is every session that is over and whose link
 * may wait for its client at the agent: that one is told, at once or when it comes back.
 *
 * An expiry is known before it comes: a session that it will end is held EXPIRY_HOLD earlier, so that nothing of it is
 * still under way at that instant.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { holderOf, identityOf } from "../policy/Identity.ts"
import type { Identity } from "../policy/Identity.ts"
import { decide } from "../policy/Policy.ts"
import { CloseCode, closeReason, Refusal } from "../protocol/Close.ts"
import { encode } from "../protocol/Control.ts"
import type { DetachedLink } from "../protocol/Control.ts"
import { EXPIRY_HOLD, RECALL_SLICE, REVIEW_SLICE } from "../protocol/Limits.ts"
import { Audit } from "../store/Audit.ts"
import type { Carrier } from "../transport/Carrier.ts"
import type { Later } from "../transport/Slices.ts"
import { Authority } from "./Authority.ts"
import type { DetachedSession } from "./Detached.ts"
import { Directory } from "./Directory.ts"
import type { Machine } from "./Directory.ts"
import * as Deadlines from "./internal/deadlines.ts"
import { nameNow } from "./internal/nameNow.ts"
import * as Rounds from "./internal/rounds.ts"
import { unenforced } from "./internal/serviceGrants.ts"
import { withoutStopWords } from "./Refused.ts"
import { Sessions } from "./Sessions.ts"
import type { Session } from "./Sessions.ts"

export class Enforcement extends Context.Tag("tela/hub/Enforcement")<
  Enforcement,
  {
    /** Something was begun with a token (by its SHA-256) whose permission is to be asked again at an instant. */
    readonly watch: (tokenHash: string, until: number | undefined) => void
    /** Ends a session that may not be, by the rule given. */
    readonly endSession: (session: Session, rule: string) => void
    /**
     * An agent has registered, the machine's former one or another: tells it what has become of links that may wait there,
     * those it names and those the hub knows of.
     */
    readonly recall: (machine: Machine, isSame: boolean, named: ReadonlyArray<DetachedLink>) => void
  }
>() {}

/** To an agent that names a link of whom the hub knows nothing: it is to learn nothing of identities by asking. */
const notKnown = "whoever this session was for may not connect to this machine, or has another token now"

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
  const clock = yield* Effect.clock
  const run = yield* FiberSet.makeRuntime<never>()

  /** Where the agent of a machine is told of sessions, if it is there and acts on it. */
  const controlOf = (machine: string): Carrier | undefined => {
    const at = directory.find(machine)
    return at?.about.serviceGrants === true ? at.agent?.carrier : undefined
  }

  const tellRevoked = (control: Carrier | undefined, sessionId: string, principal: string, reason: string) =>
    control?.sendText(encode({ type: "session-revoked", sessionId, principal, reason }))

  const tellUpdated = (
    control: Carrier | undefined,
    sessionId: string,
    now: { readonly services: ReadonlyArray<string> | undefined; readonly principal?: string }
  ) => control?.sendText(encode({ type: "session-update", sessionId, revision: authority.snapshot().revision, ...now }))

  const endSession = (session: Session, rule: string) => {
    const { agent, id, machine, principal, resumes, services } = session
    const control = controlOf(machine)
    const target = nameNow(authority.snapshot(), principal)
    // The control socket may be lost unnoticed, and its agent would keep the link; it is told again when it is back.
    if (resumes && agent !== undefined) sessions.detached.add({ id, machine, principal, services, revoked: rule })
    sessions.later(() => {
      // First on the agent's control socket, which the client's data cannot hold up.
      tellRevoked(control, id, principal.id, rule)
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
      run(Effect.logWarning("registration ended", { machine: name, principal: target, peer: carrier.peer, rule }))
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
    const { id, machine, principal: before } = session
    const principal = renewed(before)
    sessions.amend(session, { principal, services: session.services })
    const decision = authority.ask({ identity: principal, permission: "connect", machine })
    if (!decision.permit) return endSession(session, decision.rule)
    sessions.hold(session, false)
    watch(principal.tokenHash, decision.until)
    const { services } = decision
    const isRenamed = principal.id !== before.id
    if (isSame(session.services, services) && !isRenamed) return
    const without = unenforced(decision, directory.find(machine))
    if (without !== undefined) return endSession(session, without)
    sessions.amend(session, { principal, services })
    tellUpdated(controlOf(machine), id, { services, ...(isRenamed && { principal: principal.id }) })
  }

  /** `named`: by what name its agent has just asked for it, if it has. `tell`: when the agent is told. */
  const reviewDetached = (session: DetachedSession, named?: string, tell: Later = sessions.later) => {
    const { id, machine, principal: before, revoked, services: told } = session
    if (revoked !== undefined) return
    const principal = renewed(before)
    const control = controlOf(machine)
    const decision = authority.ask({ identity: principal, permission: "connect", machine })
    if (!decision.permit) {
      const { rule } = decision
      sessions.detached.amend(id, { principal, revoked: rule })
      return tell(() => tellRevoked(control, id, principal.id, rule))
    }
    watch(principal.tokenHash, decision.until)
    const { services } = decision
    // An agent that is away is told when it comes; one that asks may have missed what it was told.
    const isRenamed = principal.id !== (named ?? before.id)
    const isTold = control !== undefined && (named !== undefined || isRenamed || !isSame(told, services))
    sessions.detached.amend(id, { principal: isTold ? principal : before, services: isTold ? services : told })
    if (isTold) {
      const now = { services, ...(isRenamed && { principal: principal.id }) }
      tell(() => tellUpdated(control, id, now))
    }
  }

  /**
   * A link of which only its agent knows: this hub has restarted. What the agent says is a name, which may be another's by
   * now; the session's id tells whether it was asked for with the token that the name has now.
   */
  const adopt = (machine: string, { principal: name, sessionId: id }: DetachedLink) => {
    const control = controlOf(machine)
    const named = identityOf(authority.snapshot(), name)
    const principal = named !== undefined && sessions.isOf(id, named.tokenHash) ? named : undefined
    const decision = principal && authority.ask({ identity: principal, permission: "connect", machine })
    if (principal === undefined || decision?.permit !== true || control === undefined) {
      return tellRevoked(control, id, name, notKnown)
    }
    const { services, until } = decision
    sessions.detached.add({ id, machine, principal, services })
    watch(principal.tokenHash, until)
    tellUpdated(control, id, { services })
  }

  /** Answers an agent that names a link of which it is not known that its session is over. */
  const answer = (machine: string, link: DetachedLink) => {
    const { sessionId } = link
    if (sessions.detached.find(sessionId) !== undefined) return
    const up = sessions.find(sessionId)
    if (up === undefined) return adopt(machine, link)
    // What changed while the agent had no control socket was not told. Another machine's is not this agent's to ask for.
    const { principal, services } = up
    if (up.machine === machine) tellUpdated(controlOf(machine), sessionId, { services, principal: principal.id })
  }

  const recalls = Rounds.make(RECALL_SLICE)
  const atOnce: Later = (work) => work()

  const recall = ({ name: machine }: Machine, isSame: boolean, named: ReadonlyArray<DetachedLink>) => {
    const { detached } = sessions
    const links = new Map(named.map((link) => [link.sessionId, link]))
    const known: Array<() => void> = []
    for (const { id, principal, revoked } of detached.ofMachine(machine)) {
      const link = links.get(id)
      links.delete(id)
      // Another agent has none but those it names.
      if (!isSame && link === undefined) {
        detached.forget(id)
        continue
      }
      known.push(() => {
        if (revoked !== undefined) {
          // Not before: an agent that comes anew in between is to be told, too.
          detached.forget(id)
          return tellRevoked(controlOf(machine), id, principal.id, revoked)
        }
        const session = detached.find(id)
        if (session !== undefined) reviewDetached(session, link?.principal, atOnce)
      })
    }
    // From the last to the first: should there be too many to remember, the first are more certain to be needed.
    recalls(machine, [...[...links.values()].map((link) => () => answer(machine, link)), ...known.toReversed()])
  }

  /** Asks again for everything that was begun with a token; says for how much. */
  const review = (tokenHash: string): number => {
    ends.delete(tokenHash)
    nears.delete(tokenHash)
    // Registrations first: the sessions of a machine that goes are over for another reason than their own.
    const machines = directory.ofToken(tokenHash)
    for (const machine of machines) reviewRegistration(machine)
    const begun = sessions.ofToken(tokenHash)
    for (const session of begun) reviewSession(session)
    const over = sessions.detached.ofToken(tokenHash)
    for (const session of over) reviewDetached(session)
    return machines.length + begun.length + over.length
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

  /** Whether an expiry ends a session within EXPIRY_HOLD: no other grant lets it go on. */
  const endsSoon = ({ machine, principal }: Session): boolean => {
    const question = { identity: renewed(principal), permission: "connect", machine } as const
    const { until = Infinity } = authority.ask(question)
    if (until > clock.unsafeCurrentTimeMillis() + EXPIRY_HOLD) return false
    return !decide(authority.snapshot(), { ...question, now: until }).permit
  }

  const holdEnding = (tokenHash: string) => {
    const ending = sessions.ofToken(tokenHash).filter(endsSoon)
    for (const session of ending) sessions.hold(session, true)
    // None is held for longer, even if the time of day is set meanwhile.
    const reviewed = Effect.sync(() => void review(tokenHash))
    if (ending.length > 0) run(Effect.delay(reviewed, EXPIRY_HOLD))
  }

  const ends = yield* Deadlines.make(review)
  const nears = yield* Deadlines.make(holdEnding)
  /** The nearest instant of all that was begun with a token; `review` gathers them anew. */
  const watch = (tokenHash: string, until: number | undefined) => {
    if (until === undefined) return
    ends.add(tokenHash, until)
    nears.add(tokenHash, until - EXPIRY_HOLD)
  }

  authority.onChange((_snapshot, tokens) => {
    if (tokens !== "all") {
      for (const tokenHash of tokens) review(tokenHash)
      return
    }
    for (const index of [directory, sessions, sessions.detached]) {
      for (const tokenHash of index.tokens()) waiting.add(tokenHash)
    }
    reviewWaiting()
  })

  return { watch, endSession, recall }
})

export const layer: Layer.Layer<Enforcement, never, Authority | Directory | Sessions | Audit> = Layer.scoped(
  Enforcement,
  make
)
