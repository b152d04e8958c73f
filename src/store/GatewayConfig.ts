/** `gateway` of a machine in telad.yaml: paths of one HTTP service, and the ports of the machine they lead to (spec: cli 6.5). */
import * as Schema from "effect/Schema"
import { GATEWAY_ANSWER_TIMEOUT, GATEWAY_ROUTES, GATEWAY_TEXT_CHARACTERS } from "../protocol/Limits.ts"
import { Port, type Service } from "../protocol/Service.ts"
import * as YamlFile from "./YamlFile.ts"

export interface GatewayRoute {
  /** The prefix that leads here, in whole segments: `/api` means `/api`, and what is below `/api/`. */
  readonly path: string
  /** A port of the machine's target host. */
  readonly target: number
  /** The target is asked for the path without the prefix. */
  readonly strip: boolean
  /** What the target is told as Host; undefined passes on what the client said. */
  readonly hostHeader?: string | undefined
  /** How long the target may take to answer, in milliseconds. */
  readonly timeout: number
}

export interface GatewayConfig {
  /** The port of the service that clients reach; nothing listens on it on the machine itself. */
  readonly port: number
  readonly routes: ReadonlyArray<GatewayRoute>
}

/** A path as a prefix: visible ASCII, no query, no empty segment but the last, no `.` and `..`. */
const PATH = /^\/(?:(?!\.{1,2}(?:\/|$))[!$-.0-;=@-~]+(?:\/|$))*$/

const Path = Schema.String.pipe(Schema.maxLength(GATEWAY_TEXT_CHARACTERS), Schema.pattern(PATH)).annotations({
  description: "a path such as /api, without query, empty parts, . and .."
})

const Host = Schema.String.pipe(
  Schema.maxLength(GATEWAY_TEXT_CHARACTERS),
  Schema.pattern(/^[\w.\-[\]:]+$/)
).annotations({ description: "a host such as app.lan or app.lan:8080" })

const Route = Schema.Struct({
  path: Path,
  target: Port,
  strip: YamlFile.optionalOr(Schema.Boolean, false),
  hostHeader: YamlFile.optional(Host),
  timeout: YamlFile.optionalOr(YamlFile.duration(GATEWAY_ANSWER_TIMEOUT.most), GATEWAY_ANSWER_TIMEOUT.default)
})

export const schema = Schema.Struct({
  port: Port,
  routes: Schema.Array(Route)
    .pipe(Schema.filter(({ length }) => length >= 1 && length <= GATEWAY_ROUTES))
    .annotations({ description: `a list of 1 to ${GATEWAY_ROUTES} routes, each with path and target` })
})

/** Something that a Schema cannot see: where, within `gateway`, and what. */
export interface Problem {
  readonly path: ReadonlyArray<PropertyKey>
  readonly problem: string
}

/** Whether `/api/` and `/api` are the same prefix: they are. */
const prefix = (path: string) => path.replace(/\/$/, "")

/** What is wrong with a gateway beside services on those ports. */
export const problemOf = (gateway: GatewayConfig, ports: ReadonlyArray<number>): Problem | undefined => {
  if (ports.includes(gateway.port)) {
    const problem = `port ${gateway.port} is exposed too; give the gateway another port, or do not list this one`
    return { path: ["port"], problem }
  }
  const seen = new Set<string>()
  for (const [i, { path }] of gateway.routes.entries()) {
    if (seen.has(prefix(path))) return { path: ["routes", i, "path"], problem: `path ${path} has two routes; keep one` }
    seen.add(prefix(path))
  }
  return undefined
}

/** As what a gateway is offered to clients: grants name it `gateway`. */
export const service = ({ port }: GatewayConfig): Service => ({
  port,
  proto: "http",
  name: "gateway",
  description: "Path-based reverse proxy"
})
