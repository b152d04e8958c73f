/**
 * `telahubd user grant` and `revoke`: what one identity may do on one machine.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Change } from "../../policy/Change.ts"
import type { GrantEntry } from "../../policy/Identity.ts"
import { formatInstant } from "../../protocol/Duration.ts"
import { namedInGrant } from "../../protocol/Service.ts"
import * as Command from "../Command.ts"
import { WrongUsage } from "../Failure.ts"
import { expires, readExpiry, readPermissions, readServices, services } from "../GrantWords.ts"
import { print } from "../Shell.ts"
import * as HubFlags from "./HubFlags.ts"
import * as UserFile from "./UserFile.ts"
import { force, identity, machine, permissions, readMachine, readName } from "./UserWords.ts"

const shown = (grants: ReadonlyArray<Omit<GrantEntry, "id" | "machine">>): string =>
  grants
    .map(({ expiresAt, permission, services: names }) => {
      const limits = names === undefined ? "" : ` (${names.join(", ")})`
      return `${permission}${limits}${expiresAt === undefined ? "" : ` until ${formatInstant(expiresAt)}`}`
    })
    .join(", ")

export const grant = Command.make(
  {
    name: "grant",
    summary: "set what an identity may do on a machine",
    flags: [HubFlags.config, services, expires, force],
    positionals: [identity, machine, permissions],
    examples: ["telahubd user grant alice barn", "telahubd user grant alice barn connect,manage -expires 2h"],
    notes: ["connect unless you say otherwise, in place of what it has. '*' is every machine."]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readName(given, identity)
      const granted = yield* readPermissions(Option.getOrElse(yield* given.word(permissions), () => "connect"))
      const names = (yield* readServices(given, granted))?.map(namedInGrant)
      const expiresAt = yield* readExpiry(given, expires)
      const file = yield* UserFile.open(given)
      const on = yield* readMachine(given, file.snapshot())
      const limits = {
        ...(names !== undefined && { services: names }),
        ...(expiresAt !== undefined && { expiresAt })
      }
      const entries = granted.map((permission) => ({
        permission,
        ...(expiresAt !== undefined && { expiresAt }),
        ...(permission === "connect" && names !== undefined && { services: names })
      }))
      const { replaced } = yield* file.change({ action: "access-grant", machine: on, detail: shown(entries) }, () => [
        Change.Grant({ id, machine: on, permissions: granted, ...limits })
      ])
      const before = replaced.length === 0 ? "" : `, in place of ${shown(replaced)}`
      yield* print(`${id} now has ${shown(entries)} on ${on}${before}.`)
    }).pipe(Effect.scoped)
)

export const revoke = Command.make(
  {
    name: "revoke",
    summary: "take what an identity may do on a machine",
    flags: [HubFlags.config, force],
    positionals: [identity, machine],
    examples: ["telahubd user revoke alice barn", "telahubd user revoke alice '*'"],
    notes: ["What '*' gives is taken by '*'. To end a token: telahubd user rotate, or remove."]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readName(given, identity)
      // One that exists may be called in a way that a new one may not.
      const on = yield* given.word(machine)
      if (on === "") return yield* new WrongUsage({ message: '<machine>: "" is no name' })
      const file = yield* UserFile.open(given)
      yield* file.change({ action: "access-revoke", machine: on }, () => [Change.RevokeMachine({ id, machine: on })])
      yield* print(`${id} has no permission of its own on ${on} any more.`)
    }).pipe(Effect.scoped)
)
