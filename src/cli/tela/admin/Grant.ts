/**
 * `tela admin access grant` and `revoke`: what one identity may do on one machine.
 */
import * as Effect from "effect/Effect"
import { oneLine } from "../../../protocol/Printable.ts"
import * as Command from "../../Command.ts"
import { Failed } from "../../Failure.ts"
import * as Flags from "../../Flags.ts"
import { expires, readPermissions, readServices, services } from "../../GrantWords.ts"
import { note, print } from "../../Shell.ts"
import * as AccessTable from "./AccessTable.ts"
import {
  type Admin,
  confirm,
  hubFlags,
  identity,
  machine,
  open,
  readExpiry,
  readName,
  requireExpiries,
  segment,
  yes
} from "./AdminFlags.ts"

const wanted = Flags.argument("permissions")

/** Through a hub that does not know grants for single services, such a grant would be one for all of them. */
const requireServices = (admin: Admin) =>
  Effect.gen(function* () {
    const { capabilities } = yield* admin.ask((api) => api.hub.wellKnown({}))
    if (capabilities?.includes("per-service-access-control") === true) return
    return yield* new Failed({ message: `${admin.hub} is too old for -services; nothing was changed` })
  })

export const grant = Command.make(
  {
    name: "grant",
    summary: "set what an identity may do on a machine",
    flags: [...hubFlags, services, expires],
    positionals: [identity, machine, wanted],
    examples: [
      "tela admin access grant alice barn connect -hub wss://hub.example.com",
      "tela admin access grant alice '*' connect -services ssh,postgres",
      "tela admin access grant bob barn connect,manage -expires 2h"
    ],
    notes: ["Exactly these permissions, in place of those before. '*' is every machine."]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readName(given, identity)
      // Which names machines may have is for the hub to say: it knows those that are there.
      const on = yield* readName(given, machine)
      const permissions = yield* readPermissions(yield* given.word(wanted))
      const names = yield* readServices(given, permissions)
      const expiresAt = yield* readExpiry(given, expires)
      const admin = yield* open(given)
      if (names !== undefined) yield* requireServices(admin)
      if (expiresAt !== undefined) yield* requireExpiries(admin)
      const limits = { ...(names !== undefined && { services: names }), ...(expiresAt !== undefined && { expiresAt }) }
      const made = yield* admin.ask((api, headers) =>
        api.access.grant({
          path: { id: segment(id), machine: segment(on) },
          headers,
          payload: { permissions, ...limits }
        })
      )
      const before = made.replaced === undefined ? "" : `, in place of ${AccessTable.permissions(made.replaced)}`
      const now = AccessTable.permissions({ machineId: on, permissions, ...limits })
      yield* print(oneLine(`${id} now has ${now} on ${on}${before}.`))
      if (made.machineKnown === false) {
        yield* note(`Note: ${admin.hub} has not seen a machine "${on}" yet; the permission holds from when it comes.`)
      }
    })
)

export const revoke = Command.make(
  {
    name: "revoke",
    summary: "take all permissions of an identity on a machine",
    flags: [...hubFlags, yes],
    positionals: [identity, machine],
    examples: ["tela admin access revoke alice barn -hub wss://hub.example.com"],
    notes: ["What '*' gives is taken with: tela admin access revoke alice '*'"]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readName(given, identity)
      const on = yield* readName(given, machine)
      const admin = yield* open(given)
      yield* confirm(given, `Take all permissions of ${id} on ${on} at ${admin.hub}?`)
      yield* admin.ask((api, headers) =>
        api.access.revoke({ path: { id: segment(id), machine: segment(on) }, headers })
      )
      yield* print(`${id} has no permission of its own on ${on} any more.`)
    })
)
