/**
 * `telahubd user`: identities in the hub's file, on the hub's own machine, whether the hub runs or not.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Token from "../../crypto/Token.ts"
import { Change } from "../../policy/Change.ts"
import { identitiesOf, identityOf, invalidity } from "../../policy/Identity.ts"
import type { Identity } from "../../policy/Identity.ts"
import { formatInstant } from "../../protocol/Duration.ts"
import * as HubFile from "../../store/HubFile.ts"
import * as Command from "../Command.ts"
import { expires, readExpiry } from "../GrantWords.ts"
import * as Secret from "../Secret.ts"
import { note, print, printJson } from "../Shell.ts"
import * as Table from "../Table.ts"
import * as HubFlags from "./HubFlags.ts"
import * as OwnerToken from "./OwnerToken.ts"
import * as UserAccess from "./UserAccess.ts"
import * as UserFile from "./UserFile.ts"
import { force, identity, json, quiet, readName, readNewId, role } from "./UserWords.ts"

const bootstrap = Command.make(
  {
    name: "bootstrap",
    summary: "create the hub's file and owner, print the token",
    flags: [HubFlags.config, quiet],
    examples: ["telahubd user bootstrap", "telahubd user bootstrap -config ./data/telahubd.yaml"],
    notes: ["TELA_OWNER_TOKEN, when set, is taken as the owner's token."]
  },
  (given) =>
    Effect.gen(function* () {
      const short = yield* given.flag(quiet)
      const { path } = yield* HubFlags.locate(given)
      const token = yield* HubFile.bootstrap(path, { ownerToken: yield* HubFlags.ownerToken })
      yield* short ? print(Redacted.value(token)) : OwnerToken.announce(path, token)
    })
)

const instants = ({ expiresAt, issuedAt, revokedAt }: Identity) => ({
  ...(issuedAt !== undefined && { issuedAt: formatInstant(issuedAt) }),
  ...(expiresAt !== undefined && { expiresAt: formatInstant(expiresAt) }),
  ...(revokedAt !== undefined && { revokedAt: formatInstant(revokedAt) })
})

const stateOf = (each: Identity, now: number): string => {
  if (each.revokedAt !== undefined) return "revoked"
  return invalidity(each, now) === undefined ? "active" : "expired"
}

const list = Command.make(
  {
    name: "list",
    summary: "list identities",
    flags: [HubFlags.config, json],
    examples: ["telahubd user list", "telahubd user list -json"]
  },
  (given) =>
    Effect.gen(function* () {
      const asJson = yield* given.flag(json)
      const identities = identitiesOf(yield* UserFile.look(given))
      const now = yield* Clock.currentTimeMillis
      if (asJson) {
        return yield* printJson(
          identities.map((each) => ({
            id: each.id,
            role: each.role,
            tokenPreview: `${each.prefix}...`,
            ...instants(each)
          }))
        )
      }
      const rows = identities.map((each) => [
        each.id,
        each.role,
        stateOf(each, now),
        each.expiresAt === undefined ? "-" : formatInstant(each.expiresAt),
        `${each.prefix}...`
      ])
      yield* print(Table.render(["ID", "ROLE", "STATUS", "EXPIRES", "TOKEN"], rows))
      if (rows.length === 0) yield* note("Note: nobody is in this file.")
    })
)

const add = Command.make(
  {
    name: "add",
    summary: "make an identity and print its token",
    flags: [HubFlags.config, role, expires, quiet, force],
    positionals: [identity],
    examples: ["telahubd user add alice", "telahubd user add bob -role admin -expires 30d"],
    notes: ["A user may do nothing until access is granted: telahubd user grant."]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readNewId(given)
      const as = yield* given.flag(role)
      const expiresAt = yield* readExpiry(given, expires)
      const short = yield* given.flag(quiet)
      const file = yield* UserFile.open(given)
      const token = Token.generate()
      yield* file.change({ action: "token-add", detail: `role ${as}` }, () => [
        Change.Add({
          id,
          role: as,
          token: Token.kept(token),
          grants: [],
          ...(expiresAt !== undefined && { expiresAt })
        })
      ])
      const until = expiresAt === undefined ? "" : `, until ${formatInstant(expiresAt)}`
      yield* Secret.show(token, {
        quiet: short,
        before: `Added ${id}, role ${as}${until}.`,
        after: "It works from now on."
      })
    }).pipe(Effect.scoped)
)

const remove = Command.make(
  {
    name: "remove",
    summary: "remove an identity and everything it may do",
    flags: [HubFlags.config, force],
    positionals: [identity],
    examples: ["telahubd user remove alice"]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readName(given, identity)
      const file = yield* UserFile.open(given)
      yield* file.change({ action: "access-remove" }, () => [Change.Remove({ id })])
      yield* print(`Removed ${id} and all its permissions.`)
    }).pipe(Effect.scoped)
)

const rotate = Command.make(
  {
    name: "rotate",
    summary: "replace a token; role and permissions stay",
    flags: [HubFlags.config, quiet, force],
    positionals: [identity],
    examples: ["telahubd user rotate owner", "telahubd user rotate alice -quiet"],
    notes: ["This is the way back for an owner whose token is lost, revoked or expired."]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readName(given, identity)
      const short = yield* given.flag(quiet)
      const file = yield* UserFile.open(given)
      const token = Token.generate()
      const { identity: rotated } = yield* file.change({ action: "token-rotate" }, (snapshot, now) => {
        const before = identityOf(snapshot, id)
        // An owner whose time is over would stay out with a new token too.
        const isOver = before?.role === "owner" && before.expiresAt !== undefined && before.expiresAt <= now
        const change = Change.Rotate({ id, token: Token.kept(token) })
        return isOver ? [change, Change.Update({ id, expiresAt: null })] : [change]
      })
      yield* Secret.show(token, {
        quiet: short,
        before: `Rotated the token of ${id}.`,
        after: "The old one has stopped working."
      })
      if (invalidity(rotated, yield* Clock.currentTimeMillis) !== undefined) {
        yield* note(
          `Note: ${id} has expired and stays so; to change that, run: tela admin tokens set ${id} -expires 30d`
        )
      }
    }).pipe(Effect.scoped)
)

export const command = Command.group({
  name: "user",
  summary: "manage identities on the hub's own machine",
  subcommands: [bootstrap, list, add, remove, UserAccess.grant, UserAccess.revoke, rotate]
})
