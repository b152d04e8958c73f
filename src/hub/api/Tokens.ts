/** Identities as tokens: listing, adding, revoking, rotating (spec: hub-api 1.5 to 1.7). A token is shown here, once. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Token from "../../crypto/Token.ts"
import { Change } from "../../policy/Change.ts"
import { identitiesOf, identityOf } from "../../policy/Identity.ts"
import { NewTokenRequest } from "../../protocol/api/Tokens.ts"
import type { NewTokenAnswer, RevokeAnswer, RotateAnswer } from "../../protocol/api/Tokens.ts"
import { formatInstant } from "../../protocol/Duration.ts"
import { HubApi } from "../../protocol/HubApi.ts"
import { Authority } from "../Authority.ts"
import { answering, json } from "./Answer.ts"
import { administrator } from "./Asker.ts"
import { bodyOf } from "./Body.ts"
import * as Changing from "./Changing.ts"
import { tokenEntry } from "./Entry.ts"
import * as List from "./List.ts"
import { assignableRole, expiryOf, newId } from "./Words.ts"

const list = (request: HttpServerRequest) =>
  Effect.gen(function* () {
    yield* administrator(request)
    return yield* List.list("tokens", identitiesOf((yield* Authority).snapshot()), tokenEntry)
  })

const add = (request: HttpServerRequest) =>
  Effect.gen(function* () {
    const by = yield* administrator(request)
    const said = yield* bodyOf(request, NewTokenRequest)
    const id = yield* newId(said.id)
    const role = yield* assignableRole(said.role)
    const expiresAt = said.expiresAt === undefined ? undefined : yield* expiryOf(said.expiresAt)
    const token = Token.generate()
    const expiry = expiresAt === undefined ? "" : ` expires=${formatInstant(expiresAt)}`
    const { identity } = yield* Changing.make(
      request,
      by,
      Change.Add({ id, role, token: Token.kept(token), grants: [], ...(expiresAt !== undefined && { expiresAt }) }),
      { action: "token-add", detail: `role=${role}${expiry}` }
    )
    const { version } = identity
    return json<typeof NewTokenAnswer.Encoded>(
      {
        id,
        // As it was asked for: deployed tools know a user by the empty word.
        role: said.role ?? "",
        token: Redacted.value(token),
        version,
        ...(expiresAt !== undefined && { expiresAt: formatInstant(expiresAt) })
      },
      { status: 201, version }
    )
  })

const revoke = (request: HttpServerRequest, id: string) =>
  Effect.gen(function* () {
    const by = yield* administrator(request)
    const before = identityOf((yield* Authority).snapshot(), id)
    if (before?.revokedAt !== undefined) {
      yield* Changing.checkVersion(request, before)
      const revokedAt = formatInstant(before.revokedAt)
      return json<typeof RevokeAnswer.Encoded>({ status: "already-revoked", id, revokedAt })
    }
    const { identity } = yield* Changing.make(request, by, Change.Revoke({ id }), { action: "token-revoke" })
    const { revokedAt = 0, version } = identity
    return json<typeof RevokeAnswer.Encoded>(
      { status: "revoked", id, revokedAt: formatInstant(revokedAt), version },
      { version }
    )
  })

const rotate = (request: HttpServerRequest, id: string) =>
  Effect.gen(function* () {
    const by = yield* administrator(request)
    const token = Token.generate()
    const change = Change.Rotate({ id, token: Token.kept(token) })
    const { identity } = yield* Changing.make(request, by, change, { action: "token-rotate" })
    const { version } = identity
    return json<typeof RotateAnswer.Encoded>(
      { status: "rotated", id, token: Redacted.value(token), version },
      { version }
    )
  })

export const layer = HttpApiBuilder.group(HubApi, "tokens", (handlers) =>
  handlers
    .handleRaw("list", ({ request }) => answering(list(request)))
    .handleRaw("add", ({ request }) => answering(add(request)))
    .handleRaw("revoke", ({ path, request }) => answering(revoke(request, path.id)))
    .handleRaw("rotate", ({ path, request }) => answering(rotate(request, path.id)))
)
