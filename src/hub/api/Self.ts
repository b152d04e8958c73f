/** What any identity may ask about itself: who it is here, and what happened where it may look (spec: hub-api 1.4). */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { WhoAmI } from "../../protocol/api/Self.ts"
import { formatInstant } from "../../protocol/Duration.ts"
import { HubApi } from "../../protocol/HubApi.ts"
import { Authority } from "../Authority.ts"
import { answering, json } from "./Answer.ts"
import { somebody } from "./Asker.ts"
import { machinesOf } from "./Entry.ts"
import { history } from "./History.ts"

const whoAmI = (request: HttpServerRequest) =>
  Effect.gen(function* () {
    const { identity } = yield* somebody(request)
    const { expiresAt, id, issuedAt, role } = identity
    const machines = machinesOf((yield* Authority).snapshot(), identity, yield* Clock.currentTimeMillis)
    const lifetime = {
      ...(issuedAt !== undefined && { issuedAt: formatInstant(issuedAt) }),
      ...(expiresAt !== undefined && { expiresAt: formatInstant(expiresAt) })
    }
    return json<typeof WhoAmI.Encoded>({ id, role, ...lifetime, machines })
  })

export const layer = HttpApiBuilder.group(HubApi, "self", (handlers) =>
  handlers
    .handleRaw("history", ({ request, urlParams }) => answering(history(request, urlParams)))
    .handleRaw("whoami", ({ request }) => answering(whoAmI(request)))
)
