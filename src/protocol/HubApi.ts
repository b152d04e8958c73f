/**
 * The hub's HTTP interface as one definition, from which come the hub's routes and the clients' typed calls (spec: hub-api
 * 1.2, 1.3). Members that a deployed hub may leave out, or write as null, are optional here.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { AccessGroup } from "./api/Access.ts"
import { ChannelsGroup, PublishingGroup } from "./api/Channels.ts"
import { AgentsGroup } from "./api/Agents.ts"
import { OperationsGroup } from "./api/Operations.ts"
import { PairingGroup } from "./api/Pairing.ts"
import { SelfGroup } from "./api/Self.ts"
import { Credentials } from "./api/Shared.ts"
import { TokensGroup } from "./api/Tokens.ts"
import { Capabilities } from "./Control.ts"

const nullable = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(Schema.NullOr(schema))

/** One service as the hub republishes it, completed. */
export const ServiceStatus = Schema.Struct({
  port: Schema.Int,
  proto: Schema.String,
  name: Schema.String,
  description: Schema.String
})
export type ServiceStatus = typeof ServiceStatus.Type

/** One machine as the asking identity may see it. `id` is its name; times are RFC 3339 in UTC. */
export const MachineStatus = Schema.Struct({
  id: Schema.String,
  agentId: nullable(Schema.String),
  machineRegistrationId: nullable(Schema.String),
  displayName: nullable(Schema.String),
  hostname: nullable(Schema.String),
  os: nullable(Schema.String),
  agentVersion: nullable(Schema.String),
  protocolVersion: nullable(Schema.Int),
  tags: nullable(Schema.Array(Schema.String)),
  location: nullable(Schema.String),
  owner: nullable(Schema.String),
  agentConnected: Schema.Boolean,
  sessionCount: Schema.Int,
  registeredAt: nullable(Schema.String),
  lastSeen: nullable(Schema.String),
  services: nullable(Schema.Array(ServiceStatus)),
  capabilities: nullable(Capabilities)
})
export type MachineStatus = typeof MachineStatus.Type

/**
 * The hub itself. `uptime` is whole seconds; `goVersion` names the runtime, whatever it is. `startedAt`, to the millisecond,
 * is ours: it tells one run of the hub from the next.
 */
export const HubStatus = Schema.Struct({
  os: nullable(Schema.String),
  arch: nullable(Schema.String),
  hostname: nullable(Schema.String),
  goVersion: nullable(Schema.String),
  version: nullable(Schema.String),
  uptime: nullable(Schema.Int),
  startedAt: nullable(Schema.String)
})
export type HubStatus = typeof HubStatus.Type

/** Answer of `GET /api/status`. */
export const Status = Schema.Struct({
  machines: Schema.Array(MachineStatus),
  timestamp: nullable(Schema.String),
  hub: nullable(HubStatus),
  hubId: nullable(Schema.String),
  hubName: nullable(Schema.String)
})
export type Status = typeof Status.Type

/** The token is missing, unknown, revoked or expired. Clients key on the word and on the empty list. */
export const AuthRequired = Schema.Struct({
  error: Schema.Literal("auth_required"),
  machines: Schema.Array(MachineStatus)
}).annotations(HttpApiSchema.annotations({ status: 401 }))
export type AuthRequired = typeof AuthRequired.Type

/** Answer of `GET /.well-known/tela`: what this hub is and can do. */
export const WellKnown = Schema.Struct({
  capabilities: nullable(Schema.Array(Schema.String)),
  hubId: nullable(Schema.String),
  protocolVersion: Schema.NonEmptyString,
  supportedVersions: nullable(Schema.Array(Schema.String))
})
export type WellKnown = typeof WellKnown.Type

const plain = (status: number) =>
  HttpApiSchema.Text({ contentType: "text/plain" }).annotations(HttpApiSchema.annotations({ status }))

/** What anybody, or any identity, may ask. */
class HubGroup extends HttpApiGroup.make("hub")
  .add(HttpApiEndpoint.get("status", "/api/status").setHeaders(Credentials).addSuccess(Status).addError(AuthRequired))
  .add(HttpApiEndpoint.get("wellKnown", "/.well-known/tela").addSuccess(WellKnown))
  .add(HttpApiEndpoint.get("health", "/healthz").addSuccess(plain(200)))
  .add(HttpApiEndpoint.get("ready", "/readyz").addSuccess(plain(200)).addError(plain(503)))
  .annotate(OpenApi.Description, "What the hub is, how it is, and the machines that the token may see") {}

/** The whole interface. */
export class HubApi extends HttpApi.make("hub")
  .add(HubGroup)
  .add(SelfGroup)
  .add(TokensGroup)
  .add(AccessGroup)
  .add(PairingGroup)
  .add(AgentsGroup)
  .add(OperationsGroup)
  .add(ChannelsGroup)
  .add(PublishingGroup)
  .annotate(OpenApi.Title, "Tela hub")
  .annotate(OpenApi.Version, "1.1")
  .annotate(OpenApi.Description, "Machines, identities, their permissions, and what happened, as one hub knows them") {}

/** Paths of the interface, and the deployed hub's other names for them. */
export const statusPaths = ["/api/status", "/status", "/api/admin/status"] as const
export const historyPaths = ["/api/history", "/api/admin/history"] as const
export const wellKnownPath = "/.well-known/tela" as const
export const healthPath = "/healthz" as const
export const readyPath = "/readyz" as const
export const openApiPath = "/api/openapi.json" as const
export const channelsPath = "/channels" as const
export const uploadPath = "/api/admin/channels/files" as const
