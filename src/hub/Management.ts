/**
 * What is asked of agents, and who waits for the answer (spec: wire 7.1). An answer counts only on the socket on which it
 * was asked for; requests end with that socket, or after MANAGE_TIMEOUT. Bounded for each agent and in all, those that wait
 * for something yet to be logged more tightly, so that a restart always finds room.
 */
import * as Crypto from "node:crypto"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import { encode } from "../protocol/Control.ts"
import type { MgmtResponse } from "../protocol/Control.ts"
import {
  FOLLOWERS,
  FOLLOWERS_PER_AGENT,
  MANAGE_DEPTH,
  MANAGE_PENDING,
  MANAGE_PENDING_PER_AGENT,
  MANAGE_TIMEOUT
} from "../protocol/Limits.ts"
import { isWithin } from "../protocol/Nesting.ts"
import type { Carrier } from "../transport/Carrier.ts"

/**
 * Why there is no answer. `busy`: nothing was asked, since too many wait already. `gone`, `garbage` and `silent`: it was
 * asked, and what the agent did is not known.
 */
export class Unanswered extends Data.TaggedError("Unanswered")<{
  readonly kind: "busy" | "gone" | "garbage" | "silent"
  readonly message: string
}> {}

/** What is asked. */
export interface Asked {
  readonly action: string
  readonly payload: unknown
  /** In whose name. */
  readonly principal: string
  /** Whether the agent may wait with its answer until it has something to say. */
  readonly follows: boolean
}

/** What the agent answered. */
export interface Answer {
  readonly requestId: string
  readonly ok: boolean
  readonly message: string | undefined
  readonly payload: unknown
}

export class Management extends Context.Tag("tela/hub/Management")<
  Management,
  {
    /** Asks the agent at the other end of a control socket, and waits for its answer. */
    readonly ask: (carrier: Carrier, asked: Asked) => Effect.Effect<Answer, Unanswered>
    /** An answer came on a control socket. One that nobody waits for there is dropped. */
    readonly answered: (carrier: Carrier, message: MgmtResponse) => void
    /** A control socket is over, and with it what was asked on it. */
    readonly left: (carrier: Carrier) => void
    /** How many wait. */
    readonly size: () => number
  }
>() {}

interface Pending {
  readonly carrier: Carrier
  readonly follows: boolean
  readonly answer: Deferred.Deferred<Answer, Unanswered>
}

const gone = new Unanswered({
  kind: "gone",
  message: "the agent left before it answered, and what it did is not known; look again when it is back"
})
const garbage = new Unanswered({
  kind: "garbage",
  message: "the agent answered with something that is no answer, and what it did is not known; look at its log"
})
const silent = new Unanswered({
  kind: "silent",
  message: `the agent did not answer within ${MANAGE_TIMEOUT / 1_000} s, and what it did is not known`
})
const busy = (what: string) => new Unanswered({ kind: "busy", message: `${what}; try again in a moment` })

/** What a response says, if it is one. */
const read = ({ message, ok, payload, requestId }: MgmtResponse): Answer | undefined => {
  if (typeof ok !== "boolean") return undefined
  if (message !== undefined && message !== null && typeof message !== "string") return undefined
  if (!isWithin(payload, MANAGE_DEPTH)) return undefined
  return { requestId, ok, message: message ?? undefined, payload: payload ?? undefined }
}

export const make = (): typeof Management.Service => {
  const pending = new Map<string, Pending>()
  const byCarrier = new Map<Carrier, Set<string>>()
  let followers = 0

  const add = (requestId: string, entry: Pending) => {
    pending.set(requestId, entry)
    const ids = byCarrier.get(entry.carrier)
    if (ids === undefined) byCarrier.set(entry.carrier, new Set([requestId]))
    else ids.add(requestId)
    if (entry.follows) followers++
  }

  const remove = (requestId: string): Pending | undefined => {
    const entry = pending.get(requestId)
    if (entry === undefined) return undefined
    pending.delete(requestId)
    const ids = byCarrier.get(entry.carrier)
    ids?.delete(requestId)
    if (ids?.size === 0) byCarrier.delete(entry.carrier)
    if (entry.follows) followers--
    return entry
  }

  const followersOf = (ids: Iterable<string>): number => {
    let count = 0
    for (const id of ids) if (pending.get(id)?.follows === true) count++
    return count
  }

  const fullFor = (carrier: Carrier, follows: boolean): Unanswered | undefined => {
    const ids = byCarrier.get(carrier) ?? new Set()
    if (pending.size >= MANAGE_PENDING) return busy(`${MANAGE_PENDING} requests to agents wait for an answer already`)
    if (ids.size >= MANAGE_PENDING_PER_AGENT)
      return busy(`${MANAGE_PENDING_PER_AGENT} requests to this agent wait already`)
    if (!follows) return undefined
    if (followers >= FOLLOWERS) return busy(`${FOLLOWERS} people follow the logs of agents already`)
    return followersOf(ids) >= FOLLOWERS_PER_AGENT
      ? busy(`${FOLLOWERS_PER_AGENT} people follow the log of this agent already`)
      : undefined
  }

  return {
    ask: (carrier, { action, follows, payload, principal }) =>
      Effect.suspend(() => {
        const full = fullFor(carrier, follows)
        if (full !== undefined) return full
        if (carrier.isClosed) return gone
        const requestId = Crypto.randomBytes(8).toString("hex")
        const answer = Deferred.unsafeMake<Answer, Unanswered>(FiberId.none)
        add(requestId, { carrier, follows, answer })
        carrier.sendText(
          encode({ type: "mgmt-request", requestId, action, principal, ...(payload !== undefined && { payload }) })
        )
        return Deferred.await(answer).pipe(
          Effect.timeoutFail({ duration: MANAGE_TIMEOUT, onTimeout: () => silent }),
          Effect.ensuring(Effect.sync(() => remove(requestId)))
        )
      }),
    answered: (carrier, message) => {
      if (pending.get(message.requestId)?.carrier !== carrier) return
      const entry = remove(message.requestId)
      if (entry === undefined) return
      const answer = read(message)
      Deferred.unsafeDone(entry.answer, answer === undefined ? garbage : Effect.succeed(answer))
    },
    left: (carrier) => {
      for (const id of [...(byCarrier.get(carrier) ?? [])]) {
        const entry = remove(id)
        if (entry !== undefined) Deferred.unsafeDone(entry.answer, gone)
      }
    },
    size: () => pending.size
  }
}

export const layer: Layer.Layer<Management> = Layer.sync(Management, make)
