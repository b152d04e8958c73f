/** What people write in a request, read: roles, permissions, names, services, times. What cannot be read is a 400. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { ANY_MACHINE, grantsOn, machinePermissions } from "../../policy/Identity.ts"
import type { AssignableRole, MachinePermission } from "../../policy/Identity.ts"
import * as Duration from "../../protocol/Duration.ts"
import { GRANT_SERVICES, SERVICE_NAME_CHARACTERS } from "../../protocol/Limits.ts"
import { isNewName, nameRule } from "../../protocol/Name.ts"
import { printable, quoted } from "../../protocol/Printable.ts"
import { namedInGrant } from "../../protocol/Service.ts"
import { Authority } from "../Authority.ts"
import { Directory } from "../Directory.ts"
import { bad } from "./Problem.ts"
import type { Problem } from "./Problem.ts"

/** The id of an identity that is to be made. */
export const newId = (text: string): Effect.Effect<string, Problem> =>
  isNewName(text) && text !== ANY_MACHINE ? Effect.succeed(text) : bad(`the id ${quoted(text)} ${nameRule}`)

/** A machine that permissions are given on: any that is known, `*`, or one that may yet come. */
export const machineName = Effect.fnUntraced(function* (
  text: string
): Effect.fn.Return<string, Problem, Authority | Directory> {
  const known = (yield* Directory).find(text) !== undefined || grantsOn((yield* Authority).snapshot(), text)
  if (text === ANY_MACHINE || isNewName(text) || known) return text
  return yield* bad(`the machine name ${quoted(text)} ${nameRule}`)
})

/** A role that can be given; the empty word is a user's. */
export const assignableRole = (text: string | undefined): Effect.Effect<AssignableRole, Problem> => {
  switch (text) {
    case undefined:
    case "":
    case "user":
      return Effect.succeed("user")
    case "admin":
    case "owner":
      return Effect.succeed(text)
    case "viewer":
      return bad("the role viewer is the hub's own console's and cannot be given; use user, admin or owner")
    default:
      return bad(`${quoted(text)} is no role; use user, admin or owner`)
  }
}

const isMachinePermission = (word: string): word is MachinePermission => machinePermissions.some((one) => one === word)

/** Permissions on a machine. */
export const permissionsOf = (
  words: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<MachinePermission>, Problem> => {
  const wrong = words.find((word) => !isMachinePermission(word))
  return wrong === undefined
    ? Effect.succeed(words.filter(isMachinePermission))
    : bad(`${quoted(wrong)} is no permission; there are connect, register and manage`)
}

/** Names of services that connecting is limited to; undefined for all of them. */
export const servicesOf = (
  names: ReadonlyArray<string> | undefined,
  permissions: ReadonlyArray<MachinePermission>
): Effect.Effect<ReadonlyArray<string> | undefined, Problem> => {
  if (names === undefined || names.length === 0) return Effect.succeed(undefined)
  if (!permissions.includes("connect")) return bad("services limit connect, which is not among the permissions")
  if (names.length > GRANT_SERVICES) return bad(`a grant may name at most ${GRANT_SERVICES} services`)
  const wrong = names.find(
    (name) => name.trim() === "" || name.length > SERVICE_NAME_CHARACTERS || printable(name) !== name
  )
  return wrong === undefined
    ? Effect.succeed(names.map(namedInGrant))
    : bad(`${quoted(wrong)} is no name of a service; use its name or its port`)
}

/** When something expires, as a time or a duration from now. */
export const expiryOf = (text: string): Effect.Effect<number, Problem> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.mapError(Duration.parseExpiry(text, now), bad))
