/**
 * The one policy: who may do what, where, now, and by which rule. Pure, and asked by every path: register, connect, join,
 * each view of a machine. Asking again on a newer snapshot tells whether what was begun may go on.
 *
 * Laws (test/policy/Policy.test.ts): another grant never takes a permission away; an identity that is removed, rotated,
 * revoked or expired may do nothing; a permission limited to services never reaches beyond them.
 */
import { isNamed, label } from "../protocol/Service.ts"
import { ANY_MACHINE, currentOf, grantsOn, identityOf, invalidity, standing } from "./Identity.ts"
import type { Grant, Identity, MachinePermission, Snapshot } from "./Identity.ts"

/** What may be asked: the permissions of machines, seeing a machine, and administering the hub. */
export type Permission = MachinePermission | "view" | "admin"

/** May this identity do this, on this machine, to this service, now? */
export interface Question {
  /** As it was when its token was presented; undefined for a token that nobody holds. */
  readonly identity: Pick<Identity, "id" | "tokenHash"> | undefined
  readonly permission: Permission
  /** Needed for every permission but `admin`. */
  readonly machine?: string
  /** When given, the answer is about this service alone. */
  readonly service?: { readonly port: number; readonly name: string }
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** The answer, and the rule that gave it in words. `services`, when present, names the only services it covers. */
export interface Decision {
  readonly permit: boolean
  readonly rule: string
  readonly services?: ReadonlyArray<string>
  /** When a permission is to be asked again, because an expiry that it rests on passes then. */
  readonly until?: number
}

const deny = (rule: string): Decision => ({ permit: false, rule })
const permit = (rule: string): Decision => ({ permit: true, rule })

const none: ReadonlyArray<Grant> = []

const heldOn = (snapshot: Snapshot, machine: string, permission: MachinePermission, id: string): ReadonlyArray<Grant> =>
  grantsOn(snapshot, machine)?.[permission].get(id) ?? none

const isUnlimited = ({ services }: Grant): boolean => services === undefined

/** Where the grants are that decide: an unlimited one makes all others needless, and the machine's own comes first. */
const placeOf = (machine: string, here: ReadonlyArray<Grant>, everywhere: ReadonlyArray<Grant>): string => {
  if (everywhere.length === 0 || here.some(isUnlimited)) return machine
  if (here.length === 0 || everywhere.some(isUnlimited)) return ANY_MACHINE
  return `${machine} and ${ANY_MACHINE}`
}

/** When what some grants give together changes: while one is unlimited, not before the last of these ends. */
const endsOf = (grants: ReadonlyArray<Grant>): ReadonlyArray<number | undefined> => {
  const unlimited = grants.filter(isUnlimited)
  if (unlimited.length === 0) return grants.map(({ expiresAt }) => expiresAt)
  const last = Math.max(...unlimited.map(({ expiresAt = Infinity }) => expiresAt))
  return Number.isFinite(last) ? [last] : []
}

/** All services when one grant is unlimited, else the names of all grants together. */
const servicesOf = (grants: ReadonlyArray<Grant>): ReadonlyArray<string> | undefined => {
  const names = new Map<string, string>()
  for (const grant of grants) {
    if (grant.services === undefined) return undefined
    for (const name of grant.services) names.set(name.trim().toLowerCase(), name)
  }
  return [...names.values()]
}

const earliest = (instants: Iterable<number | undefined>): { readonly until?: number } => {
  let until: number | undefined
  for (const at of instants) if (at !== undefined && (until === undefined || at < until)) until = at
  return until === undefined ? {} : { until }
}

/** Whether a decision covers a service. */
export const covers = (decision: Decision, service: { readonly port: number; readonly name: string }): boolean =>
  decision.permit && (decision.services === undefined || decision.services.some((name) => isNamed(service, name)))

const byGrants = (snapshot: Snapshot, identity: Identity, question: Question): Decision => {
  const { machine, now, permission, service } = question
  if (permission === "admin") return deny(`the role ${identity.role} may not administer the hub`)
  if (machine === undefined) return deny("no machine was named")
  if (identity.role === "viewer" && permission !== "view") return deny(`the role viewer may view, not ${permission}`)
  // Seeing a machine is part of connecting to it; register and manage alone do not show it (spec: hub-api 2.3).
  const needed = permission === "view" ? "connect" : permission
  const here = machine === ANY_MACHINE ? none : heldOn(snapshot, machine, needed, identity.id)
  const everywhere = heldOn(snapshot, ANY_MACHINE, needed, identity.id)
  if (here.length === 0 && everywhere.length === 0) return deny(`${identity.id} has no ${needed} grant on ${machine}`)
  const standingHere = standing(here, now)
  const standingEverywhere = standing(everywhere, now)
  const all = [...standingHere, ...standingEverywhere]
  if (all.length === 0) return deny(`the ${needed} grant of ${identity.id} on ${machine} has expired`)
  const services = servicesOf(all)
  const rule = `${identity.id} has ${needed} on ${placeOf(machine, standingHere, standingEverywhere)}`
  const until = earliest([identity.expiresAt, ...endsOf(all)])
  if (services === undefined) return { ...permit(rule), ...until }
  const decision: Decision = { permit: true, rule: `${rule} for ${services.join(", ")}`, services, ...until }
  if (service !== undefined && !covers(decision, service)) {
    return deny(`${decision.rule}, which leaves out ${label(service)}`)
  }
  return decision
}

/** Decides one question on one snapshot. */
export const decide = (snapshot: Snapshot, question: Question): Decision => {
  const { identity, now } = question
  if (identity === undefined) return deny("no such token")
  // By the token, not by the name: an identity that was renamed goes on, and one that was rotated does not.
  const current = currentOf(snapshot, identity)
  if (current === undefined) {
    return deny(
      identityOf(snapshot, identity.id) === undefined
        ? `${identity.id} is no longer an identity of this hub`
        : `the token of ${identity.id} was replaced`
    )
  }
  if (current.id !== identity.id && identityOf(snapshot, identity.id)?.tokenHash === identity.tokenHash) {
    return deny(
      `the token of ${identity.id} is that of ${current.id}, too, and counts as theirs; rotate ${identity.id}`
    )
  }
  const invalid = invalidity(current, now)
  if (invalid !== undefined) return deny(invalid)
  if (current.role === "owner" || current.role === "admin") {
    return { ...permit(`${current.id} has the role ${current.role}`), ...earliest([current.expiresAt]) }
  }
  return byGrants(snapshot, current, question)
}
