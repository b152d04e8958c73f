/** Pairing codes over HTTP: made, listed and cancelled by administrators, redeemed by whoever has one (spec: hub-api 4). */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { show } from "../../crypto/PairCode.ts"
import { ANY_MACHINE } from "../../policy/Identity.ts"
import { PairCodeRequest, RedeemRequest } from "../../protocol/api/Pairing.ts"
import type { PairCodeAnswer, PairCodeEntry, RedeemAnswer } from "../../protocol/api/Pairing.ts"
import * as Duration from "../../protocol/Duration.ts"
import { HubApi } from "../../protocol/HubApi.ts"
import { PAIR_CODE_LIFETIME, PAIR_CODE_MACHINES, PAIR_CODES } from "../../protocol/Limits.ts"
import { quoted } from "../../protocol/Printable.ts"
import type { PairCode } from "../../store/PairCodes.ts"
import { Pairing } from "../Pairing.ts"
import { answering, json } from "./Answer.ts"
import { addressOf, administrator } from "./Asker.ts"
import { bodyOf } from "./Body.ts"
import { bad, conflict, forbidden, notFound, ofStore, tooOften, unknownCaller } from "./Problem.ts"
import type { Problem } from "./Problem.ts"
import { assignableRole, machineName } from "./Words.ts"

type Asked = typeof PairCodeRequest.Type

/** Milliseconds of seconds or of a duration, within the bounds of a code. */
const lifetimeOf = (expiresIn: Asked["expiresIn"]): Effect.Effect<number, Problem> =>
  Effect.gen(function* () {
    if (expiresIn === undefined) return PAIR_CODE_LIFETIME.default
    const lifetime =
      typeof expiresIn === "number"
        ? Math.trunc(expiresIn) * 1_000
        : yield* Either.mapLeft(Duration.parse(expiresIn), (error) => bad(`expiresIn: ${error}`))
    return lifetime >= PAIR_CODE_LIFETIME.least && lifetime <= PAIR_CODE_LIFETIME.most
      ? lifetime
      : yield* bad("a pairing code lasts from 10 minutes (10m) to 7 days (7d)")
  })

/** The machines that a code is to give. Never all of them unless that is what was said. */
const machinesOf = (type: PairCode["type"], { machineId, machines = [] }: Asked) =>
  Effect.gen(function* () {
    const named = machines.length > 0 ? machines : machineId === undefined ? [] : [machineId]
    if (type === "register") {
      if (machines.length > 0) return yield* bad("a register code is for one machine: name it in machineId")
      if (machineId === undefined || machineId === "" || machineId === ANY_MACHINE) {
        return yield* bad("a register code needs the name of its machine in machineId")
      }
    }
    if (named.length === 0 || named.includes("")) {
      return yield* bad('say which machines a connect code is for, in machines or machineId; ["*"] for every machine')
    }
    if (named.length > PAIR_CODE_MACHINES) return yield* bad(`a code may name at most ${PAIR_CODE_MACHINES} machines`)
    return yield* Effect.forEach([...new Set(named)], machineName)
  })

const typeOf = (word: string | undefined): Effect.Effect<PairCode["type"], Problem> =>
  word === undefined || word === "connect" || word === "register"
    ? Effect.succeed(word ?? "connect")
    : bad(`${quoted(word)} is no type of pairing code; use connect or register`)

const create = (request: HttpServerRequest) =>
  Effect.gen(function* () {
    const by = yield* administrator(request)
    const said = yield* bodyOf(request, PairCodeRequest)
    const type = yield* typeOf(said.type)
    const role = yield* assignableRole(said.role)
    const lifetime = yield* lifetimeOf(said.expiresIn)
    const machines = yield* machinesOf(type, said)
    if (role === "owner" && by.identity.role !== "owner") {
      return yield* forbidden("only an owner may make a code for an owner")
    }
    const pairing = yield* Pairing
    const { about, code } = yield* pairing.create(by, { type, machines, role, lifetime }).pipe(
      Effect.catchTags({
        TooManyCodes: () =>
          conflict(`${PAIR_CODES} pairing codes can be redeemed already; cancel one, or wait until one expires`),
        StoreFailure: (failure) => ofStore(failure)
      })
    )
    return json<typeof PairCodeAnswer.Encoded>({
      code: show(code),
      type,
      expiresAt: Duration.formatInstant(about.expiresAt),
      id: about.id,
      machines
    })
  })

const entry = ({ createdAt, createdBy, expiresAt, id, machines, role, type }: PairCode): PairCodeEntry => ({
  id,
  type,
  machines,
  role,
  createdBy,
  createdAt: Duration.formatInstant(createdAt),
  expiresAt: Duration.formatInstant(expiresAt)
})

const list = (request: HttpServerRequest) =>
  Effect.gen(function* () {
    yield* administrator(request)
    const codes = yield* (yield* Pairing).list
    return json<{ readonly codes: ReadonlyArray<PairCodeEntry> }>({ codes: codes.map(entry) })
  })

const cancel = (request: HttpServerRequest, id: string) =>
  Effect.gen(function* () {
    const by = yield* administrator(request)
    const was = yield* Effect.mapError((yield* Pairing).cancel(by, id), ofStore)
    if (!was)
      return yield* notFound("there is no such pairing code to cancel; it was redeemed, cancelled, or has expired")
    return json({ status: "cancelled", id })
  })

const wrongCode = "this pairing code is wrong, spent, expired or for another machine; check it, or ask for a new one"

const otherType = {
  connect: "this is a connect code, for a person: redeem it with tela pair, or ask for one made with -type register",
  register: "this is a register code, for an agent: redeem it with telad pair, or ask for one without -type register"
} as const

/** What somebody tries, who has no token: nothing of it is read before they may try. */
const said = (request: HttpServerRequest) =>
  Effect.map(bodyOf(request, RedeemRequest), ({ code, machineId, type }) => ({
    code: Redacted.make(code),
    type,
    machine: machineId === "" ? undefined : machineId
  }))

const redeem = (request: HttpServerRequest) =>
  Effect.gen(function* () {
    const { code, identity, token } = yield* (yield* Pairing).redeem(addressOf(request), said(request)).pipe(
      Effect.catchTags({
        WrongCode: () => unknownCaller(wrongCode),
        OtherType: ({ type }) => conflict(otherType[type]),
        TooManyTries: ({ wait }) => tooOften("too many pairing codes were tried", wait),
        StoreFailure: (failure) => ofStore(failure)
      })
    )
    const [machine] = code.machines
    return json<typeof RedeemAnswer.Encoded>({
      token: Redacted.value(token),
      identity,
      type: code.type,
      ...(code.type === "register" && machine !== undefined && { machine })
    })
  })

export const layer = HttpApiBuilder.group(HubApi, "pairing", (handlers) =>
  handlers
    .handleRaw("create", ({ request }) => answering(create(request)))
    .handleRaw("list", ({ request }) => answering(list(request)))
    .handleRaw("cancel", ({ path, request }) => answering(cancel(request, path.id)))
    .handleRaw("redeem", ({ request }) => answering(redeem(request)))
)
