/**
 * What redeeming a pairing code is for any program: make sure that the token can be kept and takes no other's place
 * unasked, redeem, keep it.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { RedeemAnswer } from "../protocol/api/Pairing.ts"
import * as PairCode from "../crypto/PairCode.ts"
import { printable } from "../protocol/Printable.ts"
import type { Credentials } from "../store/Credentials.ts"
import type { Given } from "./Command.ts"
import { Failed, type Failure, WrongUsage } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import * as Prompt from "./Prompt.ts"

export const code = Flags.secret({ name: "code", placeholder: "CODE", description: "the code, such as ABCD-1234" })

/** The code in its canonical form. It is not repeated in the sentence of an error: it may be nearly right. */
export const readCode = (given: Given): Effect.Effect<Redacted.Redacted, WrongUsage> =>
  Effect.flatMap(given.required(code), ({ value }) => {
    const canonical = PairCode.canonical(Redacted.value(value))
    return canonical === undefined
      ? new WrongUsage({ message: "-code is no pairing code; it is eight letters and digits, such as ABCD-1234" })
      : Effect.succeed(canonical)
  })

export const replace = Flags.toggle("replace", "put the new token in place of one that is kept")

/** Who redeems a code of each type, and how such a code is made. */
const types = {
  connect: { whose: "a person", made: "tela admin pair-code MACHINE" },
  register: { whose: "an agent", made: "tela admin pair-code MACHINE -type register" }
} as const

/** A token that is kept for the hub goes only when that is meant: nothing brings it back. */
const makeRoom = (given: Given, hub: string, { file, find }: Credentials) =>
  Effect.gen(function* () {
    const before = yield* find(hub)
    if (before?.token === undefined || (yield* given.flag(replace))) return
    const kept = `${before.identity === undefined ? "a token" : `the token of ${printable(before.identity)}`} for ${hub}`
    if (yield* Prompt.confirm(`${file} keeps ${kept}. Replace it?`, false)) return
    return yield* new Failed({
      message: `the code was not redeemed: ${file} keeps ${kept}; to put the new one in its place, add -replace`
    })
  })

/** Redeems a code of a type and keeps the token; a pin that is stored stays. */
export const redeem = (
  given: Given,
  options: {
    /** As it is dialled. */
    readonly hub: string
    readonly code: Redacted.Redacted
    readonly type: keyof typeof types
    readonly machine?: string | undefined
    readonly store: Credentials
  }
): Effect.Effect<typeof RedeemAnswer.Type, Failure> =>
  Effect.gen(function* () {
    const { hub, machine, store, type } = options
    // A code can be redeemed once: whatever could keep its token from being stored is to be known before.
    yield* store.writable
    yield* makeRoom(given, hub, store)
    const Self = yield* Effect.promise(() => import("../client/Self.ts"))
    const HttpClient = yield* Effect.promise(() => import("../transport/HttpClient.ts"))
    const answer = yield* Self.redeem({ hub, code: options.code, machine, type }).pipe(Effect.provide(HttpClient.layer))
    // Our hub refuses it; a deployed one has spent it.
    const other = type === "connect" ? "register" : "connect"
    if (answer.type === other) {
      return yield* new Failed({
        message:
          `this was a ${other} code, for ${types[other].whose}; it is spent now, and nothing was stored; ` +
          `for ${types[type].whose}, ask for one made with: ${types[type].made}`
      })
    }
    yield* store.put(hub, { token: answer.token, identity: answer.identity })
    return answer
  })
