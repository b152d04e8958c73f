/** What is done to the hub itself (spec: hub-api 1.15). */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { Busy, Conflict, Credentials, Forbidden, TooManyRequests, Unauthorized } from "./Shared.ts"

/** The hub will do it after this answer. */
export const Begun = Schema.Struct({ ok: Schema.Literal(true), message: Schema.String })

/** What is done to the hub itself. */
export class OperationsGroup extends HttpApiGroup.make("operations")
  .add(HttpApiEndpoint.post("restart", "/api/admin/restart").setHeaders(Credentials).addSuccess(Begun))
  .addError(Unauthorized)
  .addError(Forbidden)
  .addError(Conflict)
  .addError(TooManyRequests)
  .addError(Busy)
  .annotate(OpenApi.Description, "What is done to the hub itself. For owners and admins") {}
