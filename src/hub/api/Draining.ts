/** The HTTP interface of a hub that is about to stop: how it is can be asked to the end, everything else of the next one. */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import { Refusal } from "../../protocol/Close.ts"
import { healthPath, readyPath } from "../../protocol/HubApi.ts"
import type { Drain } from "../Drain.ts"
import { ofProblem } from "./Answer.ts"
import { Problem } from "./Problem.ts"
import * as Routes from "./Routes.ts"

const elsewhere = ofProblem(new Problem({ status: 503, error: Refusal.draining, headers: { "retry-after": "1" } }))

/** Answers with `app` until the hub drains, which waits for what was asked before. */
export const make = (app: HttpApp.Default, drain: typeof Drain.Service): HttpApp.Default =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) => {
    const path = Routes.canonical(url.split("?", 1)[0] ?? "")
    const isAboutTheHub = path === healthPath || path === readyPath
    return drain.isDraining() && !isAboutTheHub ? Effect.succeed(elsewhere) : drain.answering(app)
  })
