/** Agents managed through the hub: whether they are there, and what is asked of them (spec: hub-api 1.12, 1.13). */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import {
  BadGateway,
  BadRequest,
  Busy,
  Conflict,
  Credentials,
  Forbidden,
  GatewayTimeout,
  NotFound,
  optional,
  TooManyRequests,
  Unauthorized
} from "./Shared.ts"

/** The name of a machine, and what is asked of its agent. */
const machine = HttpApiSchema.param("machine", Schema.String)
const action = HttpApiSchema.param("action", Schema.String)

/** Whether a machine's agent is there. All but the first three members is ours. Times are RFC 3339. */
export const Presence = Schema.Struct({
  id: Schema.String,
  agentConnected: Schema.Boolean,
  lastSeen: optional(Schema.String),
  /** To the millisecond: it tells one registration from the next. */
  registeredAt: optional(Schema.String),
  agentVersion: optional(Schema.String),
  services: optional(Schema.Array(Schema.String)),
  /** Whether the agent takes requests. */
  manageable: optional(Schema.Boolean)
})
export type Presence = typeof Presence.Type

/** What the agent answered, as it is; `ok` false, too, is an answer. */
export const AgentAnswer = Schema.Struct({
  type: optional(Schema.String),
  requestId: optional(Schema.String),
  ok: Schema.Boolean,
  message: optional(Schema.String),
  payload: optional(Schema.Unknown)
})
export type AgentAnswer = typeof AgentAnswer.Type

/** The agent is not connected; nothing was asked of it. */
export const Offline = Schema.transform(
  Schema.Struct({ error: Schema.String, offline: Schema.Literal(true) }),
  Schema.Struct({ status: Schema.Literal(503), error: Schema.String, offline: Schema.Literal(true) }),
  {
    strict: true,
    decode: ({ error }) => ({ status: 503, error, offline: true }) as const,
    encode: ({ error }) => ({ error, offline: true }) as const
  }
).annotations(HttpApiSchema.annotations({ status: 503 }))

/** Agents, for whoever may manage their machines. */
export class AgentsGroup extends HttpApiGroup.make("agents")
  .add(
    HttpApiEndpoint.get("list", "/api/admin/agents")
      .setHeaders(Credentials)
      .addSuccess(Schema.Struct({ agents: Schema.Array(Presence) }))
  )
  .add(HttpApiEndpoint.get("presence")`/api/admin/agents/${machine}`.setHeaders(Credentials).addSuccess(Presence))
  .add(
    HttpApiEndpoint.get("read")`/api/admin/agents/${machine}/${action}`.setHeaders(Credentials).addSuccess(AgentAnswer)
  )
  .add(
    HttpApiEndpoint.post("ask")`/api/admin/agents/${machine}/${action}`
      .setHeaders(Credentials)
      .setPayload(Schema.Unknown)
      .addSuccess(AgentAnswer)
  )
  .add(
    HttpApiEndpoint.put("put")`/api/admin/agents/${machine}/${action}`
      .setHeaders(Credentials)
      .setPayload(Schema.Unknown)
      .addSuccess(AgentAnswer)
  )
  .addError(BadRequest)
  .addError(Unauthorized)
  .addError(Forbidden)
  .addError(NotFound)
  .addError(Conflict)
  .addError(TooManyRequests)
  .addError(BadGateway)
  .addError(Offline)
  .addError(Busy)
  .addError(GatewayTimeout)
  .annotate(OpenApi.Description, "Agents, for whoever may manage their machines") {}
