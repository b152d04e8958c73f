/**
 * What redeeming a pairing code is for any program: make sure that the token can be kept, redeem, keep it.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { RedeemAnswer } from "../protocol/AdminApi.ts"
import * as PairCode from "../crypto/PairCode.ts"
import type { Credentials } from "../store/Credentials.ts"
import type { Given } from "./Command.ts"
import { type Failure, WrongUsage } from "./Failure.ts"
import * as Flags from "./Flags.ts"

export const code = Flags.secret({ name: "code", placeholder: "CODE", description: "the code, such as ABCD-1234" })

/** The code in its canonical form. It is not repeated in the sentence of an error: it may be nearly right. */
export const readCode = (given: Given): Effect.Effect<Redacted.Redacted, WrongUsage> =>
  Effect.flatMap(given.required(code), ({ value }) => {
    const canonical = PairCode.canonical(Redacted.value(value))
    return canonical === undefined
      ? new WrongUsage({ message: "-code is no pairing code; it is eight letters and digits, such as ABCD-1234" })
      : Effect.succeed(canonical)
  })

/** Redeems a code and keeps the token; a pin that is stored stays. */
export const redeem = (options: {
  /** As it is dialled. */
  readonly hub: string
  readonly code: Redacted.Redacted
  readonly machine?: string | undefined
  readonly store: Credentials
}): Effect.Effect<typeof RedeemAnswer.Type, Failure> =>
  Effect.gen(function* () {
    const { hub, machine, store } = options
    // A code can be redeemed once: whatever could keep its token from being stored is to be known before.
    yield* store.writable
    const Self = yield* Effect.promise(() => import("../client/Self.ts"))
    const HttpClient = yield* Effect.promise(() => import("../transport/HttpClient.ts"))
    const answer = yield* Self.redeem({ hub, code: options.code, machine }).pipe(Effect.provide(HttpClient.layer))
    yield* store.put(hub, { token: answer.token, identity: answer.identity })
    return answer
  })
