/** Identities with their permissions: reading, changing, removing, granting, taking away (spec: hub-api 1.8). */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Change } from "../../policy/Change.ts"
import { ANY_MACHINE, identitiesOf, identityOf } from "../../policy/Identity.ts"
import type { GrantEntry } from "../../policy/Identity.ts"
import { AccessPatch, GrantRequest } from "../../protocol/api/Access.ts"
import type { AccessEntry, AccessUpdated, GrantAnswer, MachineRevoked } from "../../protocol/api/Access.ts"
import { formatInstant } from "../../protocol/Duration.ts"
import { HubApi } from "../../protocol/HubApi.ts"
import { Authority } from "../Authority.ts"
import { Directory } from "../Directory.ts"
import { answering, json } from "./Answer.ts"
import { administrator } from "./Asker.ts"
import { bodyOf } from "./Body.ts"
import * as Changing from "./Changing.ts"
import { accessEntry, machineAccess } from "./Entry.ts"
import { explain } from "./Explain.ts"
import * as List from "./List.ts"
import { bad, notFound } from "./Problem.ts"
import { assignableRole, expiryOf, machineName, newId, permissionsOf, servicesOf } from "./Words.ts"

const list = Effect.fnUntraced(function* (request: HttpServerRequest) {
  yield* administrator(request)
  const now = yield* Clock.currentTimeMillis
  const snapshot = (yield* Authority).snapshot()
  return yield* List.list("access", identitiesOf(snapshot), (identity) => accessEntry(snapshot, identity, now))
})

const get = Effect.fnUntraced(function* (request: HttpServerRequest, id: string) {
  yield* administrator(request)
  const snapshot = (yield* Authority).snapshot()
  const identity = identityOf(snapshot, id)
  if (identity === undefined) return yield* notFound(`no identity is called ${id}`)
  const entry = accessEntry(snapshot, identity, yield* Clock.currentTimeMillis)
  return json<AccessEntry>(entry, { version: identity.version })
})

/** What became of an identity, for the record. */
const changed = (rename: string | undefined, role: string | undefined, expiresAt: number | null | undefined): string =>
  [
    ...(rename === undefined ? [] : [`name=${rename}`]),
    ...(role === undefined ? [] : [`role=${role}`]),
    ...(expiresAt === undefined ? [] : [`expires=${expiresAt === null ? "never" : formatInstant(expiresAt)}`])
  ].join(" ")

const update = Effect.fnUntraced(function* (request: HttpServerRequest, id: string) {
  const by = yield* administrator(request)
  const said = yield* bodyOf(request, AccessPatch)
  if (said.id === undefined && said.role === undefined && said.expiresAt === undefined) {
    return yield* bad("say what to change: id, role or expiresAt")
  }
  const rename = said.id === undefined || said.id === id ? undefined : yield* newId(said.id)
  const role = said.role === undefined ? undefined : yield* assignableRole(said.role)
  const expiresAt = typeof said.expiresAt === "string" ? yield* expiryOf(said.expiresAt) : said.expiresAt
  const change = Change.Update({
    id,
    ...(rename !== undefined && { rename }),
    ...(role !== undefined && { role }),
    ...(expiresAt !== undefined && { expiresAt })
  })
  const { identity } = yield* Changing.make(request, by, change, {
    action: rename === undefined ? "access-update" : "access-rename",
    detail: changed(rename, role, expiresAt)
  })
  const { version } = identity
  return json<typeof AccessUpdated.Encoded>({ status: "updated", id: identity.id, version }, { version })
})

const remove = Effect.fnUntraced(function* (request: HttpServerRequest, id: string) {
  const by = yield* administrator(request)
  yield* Changing.make(request, by, Change.Remove({ id }), { action: "access-remove" })
  return json({ status: "removed", id })
})

/** Grants of one machine by permission. */
const heldOf = (grants: ReadonlyArray<GrantEntry>) => ({
  register: grants.filter(({ permission }) => permission === "register"),
  connect: grants.filter(({ permission }) => permission === "connect"),
  manage: grants.filter(({ permission }) => permission === "manage")
})

const grant = Effect.fnUntraced(function* (request: HttpServerRequest, id: string, machine: string) {
  const by = yield* administrator(request)
  const said = yield* bodyOf(request, GrantRequest)
  const permissions = yield* permissionsOf(said.permissions)
  const services = yield* servicesOf(said.services, permissions)
  const expiresAt = said.expiresAt === undefined ? undefined : yield* expiryOf(said.expiresAt)
  const machineId = yield* machineName(machine)
  const limits = {
    ...(services !== undefined && { services }),
    ...(expiresAt !== undefined && { expiresAt })
  }
  const told = {
    ...(services !== undefined && { services }),
    ...(expiresAt !== undefined && { expiresAt: formatInstant(expiresAt) })
  }
  const { identity, replaced } = yield* Changing.make(
    request,
    by,
    Change.Grant({ id, machine: machineId, permissions, ...limits }),
    {
      action: "access-grant",
      machine: machineId,
      detail: [
        `permissions=${permissions.join(",")}`,
        ...(services === undefined ? [] : [`services=${services.join(",")}`]),
        ...(expiresAt === undefined ? [] : [`expires=${formatInstant(expiresAt)}`])
      ].join(" ")
    }
  )
  const { version } = identity
  const machineKnown = machineId === ANY_MACHINE || (yield* Directory).find(machineId) !== undefined
  return json<typeof GrantAnswer.Encoded>(
    {
      status: "updated",
      id,
      machineId,
      permissions,
      version,
      ...told,
      replaced: replaced.length === 0 ? null : machineAccess(machineId, heldOf(replaced)),
      machineKnown
    },
    { version }
  )
})

const revoke = Effect.fnUntraced(function* (request: HttpServerRequest, id: string, machine: string) {
  const by = yield* administrator(request)
  const change = Change.RevokeMachine({ id, machine })
  const { identity } = yield* Changing.make(request, by, change, { action: "access-revoke", machine })
  const { version } = identity
  return json<typeof MachineRevoked.Encoded>({ status: "revoked", id, machineId: machine, version }, { version })
})

export const layer = HttpApiBuilder.group(HubApi, "access", (handlers) =>
  handlers
    .handleRaw("list", ({ request }) => answering(list(request)))
    .handleRaw("get", ({ path, request }) => answering(get(request, path.id)))
    .handleRaw("update", ({ path, request }) => answering(update(request, path.id)))
    .handleRaw("remove", ({ path, request }) => answering(remove(request, path.id)))
    .handleRaw("grant", ({ path, request }) => answering(grant(request, path.id, path.machine)))
    .handleRaw("revoke", ({ path, request }) => answering(revoke(request, path.id, path.machine)))
    .handleRaw("explain", ({ request, urlParams }) => answering(explain(request, urlParams)))
)
