/**
 * A change that somebody asks for: made by the authority, on the version that If-Match names (spec: hub-api 1.9), refused
 * with the reason.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Applied, Change } from "../../policy/Change.ts"
import { identityOf } from "../../policy/Identity.ts"
import type { Identity } from "../../policy/Identity.ts"
import { Authority } from "../Authority.ts"
import type { Caller, ChangeRequest } from "../Authority.ts"
import { accessEntry } from "./Entry.ts"
import { notFound, ofChange, ofStore, Problem } from "./Problem.ts"

/** No identity has it: a precondition that nothing meets. */
const NO_VERSION = 0

const TAG = /^(?:W\/)?"(\d{1,15})"$/
const BARE = /^\d{1,15}$/

/** Versions that a header names; none when it cannot be read, so that a precondition is never lost. */
const versionsOf = (header: string): ReadonlyArray<number> => {
  if (BARE.test(header)) return [Number(header)]
  const named = header.split(",").map((tag) => TAG.exec(tag.trim())?.[1])
  return named.flatMap((digits) => (digits === undefined ? [] : [Number(digits)]))
}

/** The version that a change is to be made to; undefined when any will do. */
const ifVersion = (request: HttpServerRequest, current: Identity | undefined): number | undefined => {
  const header = request.headers["if-match"]?.trim()
  if (header === undefined || header === "*") return undefined
  return current !== undefined && versionsOf(header).includes(current.version) ? current.version : NO_VERSION
}

const stale = Effect.fnUntraced(function* (id: string): Effect.fn.Return<Problem, never, Authority> {
  const snapshot = (yield* Authority).snapshot()
  const identity = identityOf(snapshot, id)
  if (identity === undefined) return notFound(`no identity is called ${id}`)
  const current = accessEntry(snapshot, identity, yield* Clock.currentTimeMillis)
  const { version } = identity
  return new Problem({
    status: 412,
    error: `${id} has changed since you read it: it is at version ${version} now; read it again and decide anew`,
    more: { id, version, current },
    headers: { etag: `"${version}"` }
  })
})

/** 412 unless If-Match, if there is one, names the version of an identity as it stands. */
export const checkVersion = (
  request: HttpServerRequest,
  identity: Identity
): Effect.Effect<void, Problem, Authority> =>
  ifVersion(request, identity) === NO_VERSION ? Effect.flip(stale(identity.id)) : Effect.void

/** Makes a change. It is on disk, recorded and in force when this succeeds; nothing has changed when it fails. */
export const make = Effect.fnUntraced(function* (
  request: HttpServerRequest,
  by: Caller,
  change: Change,
  event: ChangeRequest["event"]
): Effect.fn.Return<Applied, Problem, Authority> {
  const authority = yield* Authority
  const version = change._tag === "Add" ? undefined : ifVersion(request, identityOf(authority.snapshot(), change.id))
  return yield* authority.change({ change, by, event, ifVersion: version }).pipe(
    Effect.catchTags({
      StoreFailure: (failure) => ofStore(failure),
      ChangeRefused: (refused) =>
        refused.kind === "stale" ? Effect.flip(stale(change.id)) : Effect.fail(ofChange(refused))
    })
  )
})
