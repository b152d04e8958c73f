/**
 * `tela admin pair-code`: codes with which somebody gets a token of their own, without one being handed around.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { ANY_MACHINE } from "../../../policy/Identity.ts"
import type { PairCodeEntry } from "../../../protocol/api/Pairing.ts"
import * as Duration from "../../../protocol/Duration.ts"
import { PAIR_CODE_LIFETIME } from "../../../protocol/Limits.ts"
import * as Quote from "../../../protocol/Quote.ts"
import * as Command from "../../Command.ts"
import { WrongUsage } from "../../Failure.ts"
import * as Flags from "../../Flags.ts"
import { readList } from "../../GrantWords.ts"
import { print, printJson } from "../../Shell.ts"
import * as Table from "../../Table.ts"
import { hub, json } from "../HubFlags.ts"
import { hubFlags, open, quiet, readName, segment, shownTime } from "./AdminFlags.ts"

const machine = Flags.optionalArgument("machine")
const expires = Flags.text({ name: "expires", placeholder: "TIME", description: "how long it is good: 10m to 7d, 24h" })
const type = Flags.choice({
  name: "type",
  placeholder: "TYPE",
  description: "connect, for a person, or register, for an agent",
  choices: ["connect", "register"],
  otherwise: "connect"
})
const machines = Flags.text({
  name: "machines",
  placeholder: "LIST",
  description: "machines of a connect code: a,b or '*'"
})

/** Seconds that a code is good; sent in any case, since deployed hubs have another default. */
const readLifetime = (given: Command.Given) =>
  Effect.gen(function* () {
    const text = Option.getOrUndefined(yield* given.flag(expires))
    const parsed = text === undefined ? Either.right(PAIR_CODE_LIFETIME.default) : Duration.parse(text)
    if (Either.isLeft(parsed)) return yield* new WrongUsage({ message: `-expires: ${parsed.left}` })
    const millis = parsed.right
    if (millis < PAIR_CODE_LIFETIME.least || millis > PAIR_CODE_LIFETIME.most) {
      return yield* new WrongUsage({ message: `-expires: a code is good for 10m to 7d, not ${text}` })
    }
    return Math.round(millis / 1000)
  })

interface Wanted {
  readonly type: "connect" | "register"
  readonly machines: ReadonlyArray<string>
}

/** What the code is to be good for. Which names machines may have is for the hub to say: it knows those that are there. */
const readWanted = (given: Command.Given) =>
  Effect.gen(function* () {
    const kind = yield* given.flag(type)
    const list = Option.getOrUndefined(yield* given.flag(machines))
    const named = yield* given.word(machine)
    if (list !== undefined) {
      if (kind === "register") {
        return yield* new WrongUsage({ message: "-machines goes with a connect code; a register code has one machine" })
      }
      const wanted: Wanted = { type: kind, machines: yield* readList(list, "-machines") }
      return wanted
    }
    if (Option.isNone(named) || named.value === "") {
      return yield* new WrongUsage({ message: "<machine> is missing; name one, or give -machines a,b" })
    }
    if (kind === "register" && named.value === ANY_MACHINE) {
      return yield* new WrongUsage({ message: "<machine>: a register code has one machine; name it" })
    }
    const wanted: Wanted = { type: kind, machines: [named.value] }
    return wanted
  })

/** The command that whoever gets the code runs, as they can paste it. */
const redemption = (hubAsGiven: string, code: string, { machines: of, type: kind }: Wanted): ReadonlyArray<string> => {
  const command = `pair ${Quote.flag("hub", hubAsGiven)} -code ${Quote.word(code)}`
  return kind === "connect"
    ? ["Client pairing command:", `  tela ${command}`]
    : ["Agent pairing command:", `  telad ${command} ${Quote.flag("machine", of[0] ?? "")}`]
}

/** The table that `pair-code list` prints. */
export const table = (codes: ReadonlyArray<PairCodeEntry>): string =>
  Table.render(
    ["ID", "TYPE", "ROLE", "MACHINES", "CREATED BY", "EXPIRES"],
    codes.map((code) => [
      code.id,
      code.type,
      code.role || "user",
      code.machines.join(", "),
      code.createdBy,
      shownTime(code.expiresAt)
    ])
  )

const list = Command.make(
  {
    name: "list",
    summary: "list codes that can still be redeemed",
    flags: [...hubFlags, json],
    examples: ["tela admin pair-code list -hub wss://hub.example.com"],
    notes: ["The codes themselves are shown once, when they are made."]
  },
  (given) =>
    Effect.gen(function* () {
      const asJson = yield* given.flag(json)
      const admin = yield* open(given)
      const { codes } = yield* admin.ask((api, headers) => api.pairing.list({ headers }))
      if (asJson) return yield* printJson({ codes })
      yield* print(codes.length === 0 ? "No code can be redeemed." : table(codes))
    })
)

const name = Flags.argument("id")

const cancel = Command.make(
  {
    name: "cancel",
    summary: "make a code useless",
    flags: hubFlags,
    positionals: [name],
    examples: ["tela admin pair-code cancel ID -hub wss://hub.example.com"]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readName(given, name)
      const admin = yield* open(given)
      yield* admin.ask((api, headers) => api.pairing.cancel({ path: { id: segment(id) }, headers }))
      yield* print(`Cancelled the pairing code ${id}.`)
    })
)

export const command = Command.make(
  {
    name: "pair-code",
    summary: "make a code that is redeemed for a token",
    flags: [...hubFlags, expires, type, machines, quiet],
    positionals: [machine],
    subcommands: [list, cancel],
    examples: [
      "tela admin pair-code barn -hub wss://hub.example.com",
      "tela admin pair-code barn -type register -expires 48h",
      "tela admin pair-code -machines barn,shed"
    ],
    notes: ["A machine called list or cancel: tela admin pair-code -- list"]
  },
  (given) =>
    Effect.gen(function* () {
      const wanted = yield* readWanted(given)
      const expiresIn = yield* readLifetime(given)
      const alone = yield* given.flag(quiet)
      const hubAsGiven = yield* given.required(hub)
      const admin = yield* open(given)
      const made = yield* admin.ask((api, headers) =>
        api.pairing.create({
          headers,
          payload:
            wanted.type === "register"
              ? { type: wanted.type, machineId: wanted.machines[0] ?? "", expiresIn }
              : { type: wanted.type, machines: wanted.machines, expiresIn }
        })
      )
      const code = Redacted.value(made.code)
      if (alone) return yield* print(code)
      yield* print(
        [
          `Generated pairing code: ${code}`,
          `Expires: ${shownTime(made.expiresAt)}`,
          "",
          ...redemption(hubAsGiven, code, wanted)
        ].join("\n")
      )
    })
)
