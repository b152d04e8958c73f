/**
 * `tela admin tokens`: the identities of a hub and the state of their tokens.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { TokenEntry } from "../../../protocol/api/Tokens.ts"
import { printable, quoted } from "../../../protocol/Printable.ts"
import * as Command from "../../Command.ts"
import { WrongUsage } from "../../Failure.ts"
import * as Flags from "../../Flags.ts"
import * as Secret from "../../Secret.ts"
import { print, printJson } from "../../Shell.ts"
import * as Table from "../../Table.ts"
import { json } from "../HubFlags.ts"
import {
  confirm,
  hubFlags,
  identity,
  open,
  quiet,
  readExpiry,
  readName,
  readNewId,
  requireExpiries,
  segment,
  shownTime,
  yes
} from "./AdminFlags.ts"
import * as Remove from "./Remove.ts"
import * as Rotate from "./Rotate.ts"

/** Roles that can be given; `viewer` is the hub's own. The empty one is a user's. */
const role = Flags.textOrEmpty({ name: "role", placeholder: "ROLE", description: "user, admin or owner" })
const expires = Flags.text({
  name: "expires",
  placeholder: "WHEN",
  description: "when it ends: 30d, 2027-01-31T12:00:00Z, never"
})

/** The role as the hub takes it, where the empty one is a user's, which deployed hubs know by no other name. */
const readRole = (given: Command.Given): Effect.Effect<string | undefined, WrongUsage> =>
  Effect.flatMap(given.flag(role), (chosen) => {
    switch (Option.getOrUndefined(chosen)) {
      case undefined:
        return Effect.succeed(undefined)
      case "":
      case "user":
        return Effect.succeed("")
      case "admin":
      case "owner":
        return Effect.succeed(Option.getOrUndefined(chosen))
      default:
        return new WrongUsage({
          message: `-role is one of user, admin, owner, not ${quoted(Option.getOrElse(chosen, () => ""))}`
        })
    }
  })

const isNever = (given: Command.Given) =>
  Effect.map(given.flag(expires), (text) => Option.getOrUndefined(text) === "never")

/** What a token is good for now. */
const stateOf = ({ expiresAt, revokedAt }: TokenEntry, now: number): string => {
  if (revokedAt !== undefined) return "revoked"
  return expiresAt !== undefined && Date.parse(expiresAt) <= now ? "expired" : "active"
}

/** The table that `tokens list` prints. */
export const table = (tokens: ReadonlyArray<TokenEntry>, now: number): string =>
  Table.render(
    ["ID", "ROLE", "STATUS", "EXPIRES", "ISSUED", "TOKEN PREVIEW"],
    tokens.map((entry) => [
      entry.id,
      entry.role,
      stateOf(entry, now),
      shownTime(entry.expiresAt),
      shownTime(entry.issuedAt),
      entry.tokenPreview
    ])
  )

const list = Command.make(
  {
    name: "list",
    summary: "list identities and the state of their tokens",
    flags: [...hubFlags, json],
    examples: ["tela admin tokens list -hub wss://hub.example.com", "tela admin tokens list -json"]
  },
  (given) =>
    Effect.gen(function* () {
      const asJson = yield* given.flag(json)
      const admin = yield* open(given)
      const { tokens } = yield* admin.ask((api, headers) => api.tokens.list({ headers }))
      yield* asJson ? printJson({ tokens }) : print(table(tokens, yield* Clock.currentTimeMillis))
    })
)

const add = Command.make(
  {
    name: "add",
    summary: "make an identity and print its token",
    flags: [...hubFlags, role, expires, quiet],
    positionals: [identity],
    examples: [
      "tela admin tokens add alice -hub wss://hub.example.com",
      "tela admin tokens add bob -role admin -expires 30d",
      "tela admin tokens add robot -quiet"
    ],
    notes: ["A user may do nothing until access is granted: tela admin access grant."]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readNewId(given, identity)
      const chosen = yield* readRole(given)
      const expiresAt = (yield* isNever(given)) ? undefined : yield* readExpiry(given, expires)
      const alone = yield* given.flag(quiet)
      const admin = yield* open(given)
      const made = yield* admin.ask((api, headers) =>
        api.tokens.add({
          headers,
          payload: { id, ...(chosen && { role: chosen }), ...(expiresAt !== undefined && { expiresAt }) }
        })
      )
      const until = made.expiresAt ?? expiresAt
      yield* Secret.show(made.token, {
        quiet: alone,
        before: `Added ${id}, role ${printable(made.role) || "user"}${until === undefined ? "" : `, until ${shownTime(until)}`}.`,
        after: "It works from now on."
      })
    })
)

const revoke = Command.make(
  {
    name: "revoke",
    summary: "end a token; its identity stays for the record",
    flags: [...hubFlags, yes],
    positionals: [identity],
    examples: ["tela admin tokens revoke alice -hub wss://hub.example.com"],
    notes: ["`tela admin rotate` brings it back, with a new token and all permissions."]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readName(given, identity)
      const admin = yield* open(given)
      yield* confirm(given, `Revoke the token of ${id} at ${admin.hub}?`)
      const { revokedAt, status } = yield* admin.ask((api, headers) =>
        api.tokens.revoke({ path: { id: segment(id) }, headers })
      )
      const at = shownTime(revokedAt)
      yield* print(
        status === "revoked"
          ? `Revoked the token of ${id} at ${at}.`
          : `The token of ${id} was revoked already, at ${at}.`
      )
    })
)

const set = Command.make(
  {
    name: "set",
    summary: "change the role or the expiry of an identity",
    flags: [...hubFlags, role, expires],
    positionals: [identity],
    examples: ["tela admin tokens set alice -role admin", "tela admin tokens set alice -expires never"]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readName(given, identity)
      const chosen = yield* readRole(given)
      const never = yield* isNever(given)
      const expiresAt = never ? null : yield* readExpiry(given, expires)
      if (chosen === undefined && expiresAt === undefined) {
        return yield* new WrongUsage({ message: "nothing to change: give -role or -expires" })
      }
      const admin = yield* open(given)
      if (expiresAt !== undefined) yield* requireExpiries(admin)
      yield* admin.ask((api, headers) =>
        api.access.update({
          path: { id: segment(id) },
          headers,
          payload: { ...(chosen !== undefined && { role: chosen }), ...(expiresAt !== undefined && { expiresAt }) }
        })
      )
      const changes = [
        ...(chosen === undefined ? [] : [`has the role ${chosen || "user"}`]),
        ...(expiresAt === undefined ? [] : [expiresAt === null ? "does not expire" : `expires at ${expiresAt}`])
      ]
      yield* print(`${id} now ${changes.join(" and ")}.`)
    })
)

export const command = Command.group({
  name: "tokens",
  summary: "identities and their tokens",
  subcommands: [
    list,
    add,
    set,
    Rotate.make("tela admin tokens rotate"),
    revoke,
    Remove.make("tela admin tokens remove")
  ]
})
