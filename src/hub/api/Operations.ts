/** What is done to the hub itself (spec: hub-api 1.15). */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import { HubApi } from "../../protocol/HubApi.ts"
import type { Begun } from "../../protocol/api/Operations.ts"
import { Audit } from "../../store/Audit.ts"
import type { Restart } from "../Restart.ts"
import { RestartRefused } from "../Restart.ts"
import { answering, json } from "./Answer.ts"
import { administrator } from "./Asker.ts"
import { conflict } from "./Problem.ts"

const embedded = new RestartRefused({ message: "this hub is a part of another program; restart that" })

const restart = (request: HttpServerRequest, begin: Restart) =>
  Effect.gen(function* () {
    const { from, identity } = yield* administrator(request)
    const audit = yield* Audit
    const event = { action: "hub-restart", actor: identity.id, from } as const
    yield* begin.pipe(
      Effect.tapError(({ message }) => audit.record([{ ...event, outcome: "failed", why: message }])),
      Effect.mapError(({ message }) => conflict(message))
    )
    yield* audit.record([{ ...event, outcome: "ok" }])
    return json<typeof Begun.Encoded>({ ok: true, message: "restarting" })
  })

/** `begin` is how this hub is restarted, where it can be. */
export const layer = (begin: Restart = embedded) =>
  HttpApiBuilder.group(HubApi, "operations", (handlers) =>
    handlers.handleRaw("restart", ({ request }) => answering(restart(request, begin)))
  )
