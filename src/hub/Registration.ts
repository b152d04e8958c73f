/**
 * An agent's control socket, from its `register` to its end (spec: wire 2). One fiber waits for what the agent says next;
 * losing the socket ends every session of the machine.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { Refusal } from "../protocol/Close.ts"
import { decodeFromAgent, encode } from "../protocol/Control.ts"
import type { Register } from "../protocol/Control.ts"
import { registerProblem } from "../protocol/RegisterProblem.ts"
import { Audit } from "../store/Audit.ts"
import type { CarrierClosed } from "../transport/Carrier.ts"
import type { Inbox } from "../transport/Inbox.ts"
import { Arrivals } from "./Arrivals.ts"
import { Authority } from "./Authority.ts"
import { Directory } from "./Directory.ts"
import type { Agent } from "./Directory.ts"
import { Drain } from "./Drain.ts"
import { Enforcement } from "./Enforcement.ts"
import { denied } from "./internal/denied.ts"
import { isMachineName } from "./internal/machineName.ts"
import { nameNow } from "./internal/nameNow.ts"
import { nextMessage } from "./internal/nextMessage.ts"
import { tooManyMachines } from "./Limits.ts"
import { Management } from "./Management.ts"
import { refused, refusedStranger, withoutStopWords } from "./Refused.ts"
import type { Refused } from "./Refused.ts"
import { Sessions } from "./Sessions.ts"

/** None of what follows may say "access denied" or "invalid token": agents would stop for good. */
const unknownToken = "register: the hub does not know this token, or it has expired or been revoked"
const notAName =
  "register: machineName must be 1 to 128 printable characters, and none of *, ., .. and words like __proto__"
const heldByAnother =
  "this machine is already registered by another agent; stop that one first, or give this machine another name"

/**
 * What an agent without the right is told. One that had it must not stop for good, since it may get the right again; so it
 * is told in other words than one that was never here.
 */
const noRight = (wasHere: boolean, rule: string): Refused =>
  refused(wasHere ? withoutStopWords(`${Refusal.registrationRevoked}: ${rule}`) : Refusal.accessDenied, rule)

/** What the agent lets others do from afar, and what that touches, as it says itself. */
const manageable = ({ capabilities, machines }: Register): Pick<Agent, "management" | "machines"> => ({
  management:
    capabilities?.["management"] !== true
      ? undefined
      : capabilities["machineManagement"] === true
        ? "machine"
        : "agent",
  machines
})

/** Puts the machine into the directory, if the token may; says whose token it is. */
const enrol = (inbox: Inbox, said: Register) =>
  Effect.gen(function* () {
    const arrivals = yield* Arrivals
    const authority = yield* Authority
    const directory = yield* Directory
    const sessions = yield* Sessions
    const enforcement = yield* Enforcement
    const audit = yield* Audit
    const { agentId, machineName: name = "" } = said
    const attempt = {
      action: "agent-register",
      machine: isMachineName(name) ? name : "",
      from: inbox.carrier.peer
    } as const
    const principal = authority.identify(said.token === undefined ? undefined : Redacted.make(said.token))
    if (principal === undefined) return yield* denied(attempt, refusedStranger(unknownToken))
    const by = { ...attempt, actor: principal.id }
    if (!agentId) return yield* refused(Refusal.agentIdRequired)
    if (!isMachineName(name)) return yield* refused(notAName)
    const problem = registerProblem(said)
    if (problem !== undefined) return yield* refused(`register: ${problem}`)
    const decision = authority.ask({ identity: principal, permission: "register", machine: name })
    if (!decision.permit) {
      return yield* denied(by, noRight(directory.find(name)?.about.agentId === agentId, decision.rule))
    }
    const limits = authority.limits()
    if (directory.find(name)?.agent === undefined && directory.connected() >= limits.machines) {
      return yield* denied(by, tooManyMachines(limits))
    }
    const agent: Agent = { carrier: inbox.carrier, principal, ...manageable(said) }
    const registration = directory.register(name, agent, { ...said, agentId })
    switch (registration._tag) {
      case "Held": {
        const holder = registration.by.agent
        const who = `${holder?.principal.id} at ${holder?.carrier.peer}`
        return yield* denied(by, refused(heldByAnother, `${name} is registered by another agent, ${who}, which stays`))
      }
      case "Full":
        return yield* denied(by, tooManyMachines(limits))
      case "Registered": {
        if (registration.replaced !== undefined) {
          // Sessions that the agent has joined live on sockets of their own and go on; others were asked for in vain.
          registration.replaced.carrier.terminate()
          sessions.endOfMachine(name, "agent disconnected", { unjoined: true })
        }
        enforcement.watch(principal.tokenHash, decision.until)
        audit.note({ ...by, outcome: "ok", detail: `ports=[${(said.ports ?? []).join(" ")}]` })
        inbox.carrier.sendText(encode({ type: "registered", machineId: name }))
        enforcement.recall(registration.machine, registration.isSame, said.detached ?? [])
        arrivals.arrived(name)
        return { name, agent, replaced: registration.replaced !== undefined }
      }
    }
  })

const annotated = (inbox: Inbox, machine: string, principal: string) =>
  Effect.annotateLogs({ machine, principal, peer: inbox.carrier.peer })

/** Serves an agent until its socket closes. `admit` is called once it is registered. */
export const serve = (
  inbox: Inbox,
  admit: () => void,
  first: Register
): Effect.Effect<
  never,
  Refused | CarrierClosed,
  Arrivals | Authority | Directory | Drain | Management | Sessions | Enforcement | Audit
> =>
  Effect.gen(function* () {
    const authority = yield* Authority
    const directory = yield* Directory
    const sessions = yield* Sessions
    const audit = yield* Audit
    const drain = yield* Drain
    const management = yield* Management
    yield* drain.admits
    let { agent, name, replaced } = yield* enrol(inbox, first)
    admit()
    const leave = Effect.suspend(() => {
      management.left(inbox.carrier)
      if (!directory.leave(name, agent)) return Effect.void
      // An agent that has moved to the next hub leaves here those sessions whose client cannot; they live on sockets of their own.
      sessions.endOfMachine(name, "agent disconnected", { unjoined: drain.isDraining() })
      const actor = nameNow(authority.snapshot(), agent.principal)
      audit.note({ action: "agent-disconnect", machine: name, actor, from: inbox.carrier.peer, outcome: "ok" })
      return Effect.logInfo("agent left").pipe(annotated(inbox, name, agent.principal.id))
    })
    const talk = Effect.gen(function* () {
      yield* Effect.logInfo(replaced ? "agent registered again on a new connection" : "agent registered").pipe(
        annotated(inbox, name, agent.principal.id)
      )
      while (true) {
        const message = yield* nextMessage(inbox, decodeFromAgent)
        // Its right has ended meanwhile, or another connection has its place; whatever it still says comes from nobody.
        if (directory.find(name)?.agent !== agent) return yield* Effect.flip(inbox.closed)
        if (message.type === "mgmt-response") {
          management.answered(inbox.carrier, message)
          continue
        }
        // The agent's settings have changed (spec: wire 2.6). One machine a socket, whatever it says.
        if (message.machineName !== name) return yield* refused("register: this socket is another machine's")
        // Links are named once a socket.
        const { detached: _, ...settings } = message
        agent = (yield* enrol(inbox, settings)).agent
      }
    })
    return yield* Effect.ensuring(talk, leave)
  })
