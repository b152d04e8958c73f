/**
 * Who is who, and who may what, at this moment: the current snapshot, asked through the one policy. Plain calls, since
 * every message of every connection may ask.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { hashOf } from "../crypto/Token.ts"
import { identify } from "../policy/Identity.ts"
import type { Identity, Snapshot } from "../policy/Identity.ts"
import { decide } from "../policy/Policy.ts"
import type { Decision, Question } from "../policy/Policy.ts"

export class Authority extends Context.Tag("tela/hub/Authority")<
  Authority,
  {
    /** The valid identity that holds a token; undefined for no token, an unknown, a revoked or an expired one. */
    readonly identify: (token: Redacted.Redacted | undefined) => Identity | undefined
    /** Decides on the current snapshot, now. */
    readonly ask: (question: Omit<Question, "now">) => Decision
    /** Revision of the current snapshot. */
    readonly revision: () => number
  }
>() {}

export const make = (snapshot: Snapshot): Effect.Effect<typeof Authority.Service> =>
  Effect.map(Effect.clock, (clock) => ({
    identify: (token) =>
      token === undefined || Redacted.value(token) === ""
        ? undefined
        : identify(snapshot, hashOf(token), clock.unsafeCurrentTimeMillis()),
    ask: (question) => decide(snapshot, { ...question, now: clock.unsafeCurrentTimeMillis() }),
    revision: () => snapshot.revision
  }))

export const layer = (snapshot: Snapshot): Layer.Layer<Authority> => Layer.effect(Authority, make(snapshot))
